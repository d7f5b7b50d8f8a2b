import { strict as assert } from "node:assert";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { AppSchema, PortProtocol } from "../../../../../gen/nebula/v1/app_pb.ts";
import { PullPolicy } from "../../../../../gen/nebula/v1/container_pb.ts";
import { appSpec } from "./app-spec.ts";

/** The fields that the specification leaves out: the name and counters of the app, which are beside it. */
const ELSEWHERE = ["name", "revision", "restart_count"];

function spec(app: MessageInitShape<typeof AppSchema>): Record<string, readonly string[]> {
  return Object.fromEntries(appSpec(create(AppSchema, app)).map(({ field, values }) => [field, values]));
}

describe("the specification of an app as people read it", () => {
  it("of an app that has an image alone three fields are shown", () => {
    assert.deepEqual(spec({ dockerImage: "shop:1", minHealthyMs: 10_000, stopGraceSeconds: 10, running: true }), {
      docker_image: ["shop:1"],
      running: ["yes"],
      containers_per: ["1 per device"],
    });
  });

  it("every field of an app that is set is shown", () => {
    const full = create(AppSchema, {
      ...{ dockerImage: "shop:1", running: false, startingPorts: [{ hostPort: 80, containerPort: 8080 }], envVars: { A: "1" } },
      ...{ secretEnvVars: { TOKEN: "secret:0123abcd" }, networks: ["host"], volumes: ["/a:/b"], devices: ["/dev/x"], privileged: true },
      ...{ rollingRestart: true, minHealthyMs: 500, renewAnonymousVolumes: true, command: ["sh"], entrypoint: ["/e"], cpus: 1.5 },
      ...{ containersPer: { per: { case: "server", value: 2 } }, healthcheck: { test: ["NONE"] }, memoryLimitMb: 64, logging: { driver: "local" } },
      ...{ labels: { a: "b" }, capAdd: ["NET_ADMIN"], capDrop: ["CHOWN"], ulimits: [{ name: "nofile", soft: 1n, hard: 2n }], user: "u" },
      ...{ workingDir: "/w", hostname: "h", extraHosts: ["a:1.2.3.4"], shmSizeMb: 1, tmpfs: { "/t": "" }, readOnly: true, init: true },
      ...{ stopGraceSeconds: 1, pullPolicy: PullPolicy.NEVER },
    });
    const told = appSpec(full).map(({ field }) => field);
    assert.deepEqual(
      told.sort(),
      AppSchema.fields
        .map(({ name }) => name)
        .filter((name) => !ELSEWHERE.includes(name))
        .sort(),
    );
  });

  it("ports, counts, commands and times are shown in words", () => {
    const told = spec({
      startingPorts: [
        { hostPort: 80, containerPort: 8080 },
        { hostPort: 53, containerPort: 53, protocol: PortProtocol.UDP, hostAddress: "::1" },
      ],
      containersPer: { per: { case: "memoryMb", value: 512 } },
      command: ["sh", "-c", "sleep 1; exit"],
      healthcheck: { test: ["CMD", "curl", "localhost"], intervalMs: 1500, timeoutMs: 2000, retries: 2 },
    });
    assert.deepEqual(told.starting_ports, ["80 to 8080", "[::1]:53 to 53, UDP"]);
    assert.deepEqual(told.containers_per, ["1 per 512 MB of memory"]);
    assert.deepEqual(told.command, ['sh -c "sleep 1; exit"']);
    assert.deepEqual(told.healthcheck, ["curl localhost", "every 1500 ms", "fails after 2 s", "unhealthy after 2 failures"]);
  });

  it("marks of direction in a value are shown as text", () => {
    assert.deepEqual(spec({ envVars: { A: "\u202eevil" } }).env_vars, ["A=\\u202eevil"]);
  });
});
