import { strict as assert } from "node:assert";
import { create } from "@bufbuild/protobuf";
import fc from "fast-check";
import { AppSchema, PortProtocol } from "../../gen/nebula/v1/app_pb.ts";
import { PullPolicy } from "../../gen/nebula/v1/container_pb.ts";
import { DeviceGroupSchema } from "../../gen/nebula/v1/device_group_pb.ts";
import { arbitraryApp, arbitraryCronJob, arbitraryDeviceGroup, arbitraryUserGroup } from "../testing/arbitrary-entities.ts";
import { normaliseApp, normaliseCronJob, normaliseDeviceGroup, normaliseUserGroup } from "../validation/normal-form.ts";
import { parseResources, resourceViolationLine } from "./parse-resources.ts";
import { printResource } from "./print-resource.ts";
import type { Resource } from "./resource.ts";

function normal(resource: Resource): Resource {
  switch (resource.kind) {
    case "app":
      return { kind: "app", app: normaliseApp(resource.app) };
    case "cron_job":
      return { kind: "cron_job", cronJob: normaliseCronJob(resource.cronJob) };
    case "device_group":
      return { kind: "device_group", deviceGroup: normaliseDeviceGroup(resource.deviceGroup) };
    case "user_group":
      return { kind: "user_group", userGroup: normaliseUserGroup(resource.userGroup) };
  }
}

describe("a printed resource", () => {
  it("a printed resource leaves out fields that the server sets and those that equal their default", () => {
    const app = create(AppSchema, {
      name: "web",
      revision: 41n,
      restartCount: 2n,
      dockerImage: "shop:1.5",
      running: true,
      minHealthyMs: 10_000,
      stopGraceSeconds: 10,
      containersPer: { per: { case: "server", value: 1 } },
      startingPorts: [
        { hostPort: 80, containerPort: 8080, protocol: PortProtocol.TCP },
        { hostPort: 53, containerPort: 53, protocol: PortProtocol.UDP },
      ],
      envVars: { VERSION: "1.10", REGION: "eu" },
      pullPolicy: PullPolicy.ALWAYS,
    });
    const deviceGroup = create(DeviceGroupSchema, { name: "pos", revision: 7n, pruneId: 3n, apps: ["web"], spread: 1 });
    assert.equal(
      printResource({ kind: "app", app }),
      [
        "kind: app",
        "name: web",
        "docker_image: shop:1.5",
        'starting_ports: [ { "80": "8080" }, 53/udp ]',
        "env_vars:",
        "  REGION: eu",
        '  VERSION: "1.10"',
        "pull_policy: always",
        "",
      ].join("\n"),
    );
    assert.equal(printResource({ kind: "device_group", deviceGroup }), "kind: device_group\nname: pos\napps:\n  - web\n");
  });

  it("a printed resource parses to the same resource, for any content", () => {
    const resource = fc.oneof(
      arbitraryApp.map((app): Resource => ({ kind: "app", app })),
      arbitraryCronJob.map((cronJob): Resource => ({ kind: "cron_job", cronJob })),
      arbitraryDeviceGroup.map((deviceGroup): Resource => ({ kind: "device_group", deviceGroup })),
      arbitraryUserGroup.map((userGroup): Resource => ({ kind: "user_group", userGroup })),
    );
    fc.assert(
      fc.property(resource, (given) => {
        const parsed = parseResources(printResource(given), "x.yaml");
        assert.ok(parsed.kind === "resources", parsed.kind === "invalid" ? parsed.violations.map(resourceViolationLine).join() : "");
        assert.deepEqual(parsed.resources.map(normal), [normal(given)]);
      }),
      { numRuns: 300 },
    );
  });
});
