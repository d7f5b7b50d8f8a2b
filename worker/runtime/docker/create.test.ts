import assert from "node:assert/strict";
import { bareSpec } from "../../../common/testing/bare-spec.ts";
import { recordOf } from "../json.ts";
import { createBody } from "./create.ts";

describe("what a container is created with", () => {
  const spec = bareSpec("docker.io/library/busybox:1");
  const hostConfig = (body: Record<string, unknown>) => recordOf(body.HostConfig);

  it("the body of a create has the given fields and nothing else", () => {
    assert.deepEqual(createBody({ name: "a", spec, labels: { x: "y" } }, "journald"), {
      Image: "busybox:1",
      Env: [],
      Labels: { x: "y" },
      HostConfig: { RestartPolicy: { Name: "no" }, Privileged: false, ReadonlyRootfs: false, NetworkMode: "bridge" },
    });
  });

  it("the body of a create has limited logs unless the daemon or the app says otherwise", () => {
    const logOf = (logging: typeof spec.logging, daemon: string) =>
      hostConfig(createBody({ name: "a", spec: { ...spec, logging }, labels: {} }, daemon)).LogConfig;
    assert.deepEqual(logOf(undefined, "json-file"), { Type: "json-file", Config: { "max-size": "10m", "max-file": "3" } });
    assert.equal(logOf(undefined, "local"), undefined);
    assert.deepEqual(logOf({ driver: "syslog", options: { tag: "a" } }, "json-file"), { Type: "syslog", Config: { tag: "a" } });
  });

  it("the body of a create has Nebula's labels, also where the operator gave others under their names", () => {
    const body = createBody(
      { name: "a", spec: { ...spec, labels: { orchestrator: "mine", team: "shop" } }, labels: { orchestrator: "nebula" } },
      "json-file",
    );
    assert.deepEqual(body.Labels, { orchestrator: "nebula", team: "shop" });
  });

  it("the body of a create has devices read as Docker's own client does", () => {
    const devices = ["/dev/a", "/dev/a:/dev/b", "/dev/a:/dev/b:r", "/dev/a:rw"];
    assert.deepEqual(hostConfig(createBody({ name: "a", spec: { ...spec, devices }, labels: {} }, "")).Devices, [
      { PathOnHost: "/dev/a", PathInContainer: "/dev/a", CgroupPermissions: "rwm" },
      { PathOnHost: "/dev/a", PathInContainer: "/dev/b", CgroupPermissions: "rwm" },
      { PathOnHost: "/dev/a", PathInContainer: "/dev/b", CgroupPermissions: "r" },
      { PathOnHost: "/dev/a", PathInContainer: "/dev/a", CgroupPermissions: "rw" },
    ]);
  });
});
