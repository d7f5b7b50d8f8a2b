import { strict as assert } from "node:assert";
import { fromBinary, toBinary } from "@bufbuild/protobuf";
import { type App, AppSchema, PortProtocol } from "../../gen/nebula/v1/app_pb.ts";
import { type ConfigInit, configOf, perServer } from "../testing/config-builder.ts";
import type { DesiredApp, RunningApp } from "./desired.ts";
import { desiredOf } from "./desired.ts";

type AppInit = NonNullable<NonNullable<ConfigInit["apps"]>[string]>;

const engine = { cores: 4, memoryBytes: 4 * 1024 ** 3 };

function desired(init: ConfigInit): readonly DesiredApp[] {
  return desiredOf(configOf(init), { deviceId: "till-7", engine }).apps;
}

function running(app: AppInit): RunningApp {
  const [only] = desired({ apps: { web: app } });
  assert.ok(
    only?.kind === "running",
    JSON.stringify(only, (_, value) => (typeof value === "bigint" ? String(value) : value)),
  );
  return only;
}

/** The app as a server of a later version would send it: with a field that nobody knows here. */
function fromTheFuture(app: App): App {
  const unknownField = Uint8Array.of(0x98, 0x7d, 0x01); // field 2003, varint 1
  return fromBinary(AppSchema, Uint8Array.from([...toBinary(AppSchema, app), ...unknownField]));
}

describe("what a config asks of a device", () => {
  describe("how many containers", () => {
    const counts: readonly (readonly [what: string, per: AppInit["containersPer"] | undefined, count: number])[] = [
      ["one container runs by default", undefined, 1],
      ["3 per server run 3 containers", perServer(3), 3],
      ["1 per core, of 4, runs 4 containers", { per: { case: "cpu", value: 1 } }, 4],
      ["0.6 per core, of 4, run 2 containers", { per: { case: "cpu", value: 0.6 } }, 2],
      ["0.1 per core, of 4, run at least 1 container", { per: { case: "cpu", value: 0.1 } }, 1],
      ["one per 1500 MB, of 4096, runs 2 containers", { per: { case: "memoryMb", value: 1500 } }, 2],
      ["one per 8000 MB, of 4096, runs at least 1 container", { per: { case: "memoryMb", value: 8000 } }, 1],
    ];
    for (const [what, containersPer, count] of counts) {
      it(what, () => assert.equal(running(containersPer === undefined ? {} : { containersPer }).instances.length, count));
    }
  });

  it("an app binds host port p + i for container i, UDP too", () => {
    const ports = [
      { hostPort: 80, containerPort: 80 },
      { hostPort: 5000, containerPort: 53, protocol: PortProtocol.UDP },
    ];
    const { instances } = running({ startingPorts: ports, containersPer: perServer(3) });
    assert.deepEqual(
      instances.map(({ spec }) => spec.ports.map(({ hostPort, containerPort, protocol }) => `${hostPort}:${containerPort}/${protocol}`)),
      [
        ["80:80/tcp", "5000:53/udp"],
        ["81:80/tcp", "5001:53/udp"],
        ["82:80/tcp", "5002:53/udp"],
      ],
    );
  });

  it("a port beyond the last one fails that container alone", () => {
    const app = running({ startingPorts: [{ hostPort: 65_534, containerPort: 80 }], containersPer: { per: { case: "cpu", value: 1 } } });
    assert.deepEqual(
      app.instances.map(({ refusal }) => refusal !== undefined),
      [false, false, true, true],
    );
    assert.match(app.instances[2]?.refusal ?? "", /65536.*65535.*lower/);
  });

  describe("networks", () => {
    const cases: readonly (readonly [listed: string[], networks: string[]])[] = [
      [[], ["nebula", "bridge"]],
      [["nebula"], ["nebula"]],
      [["shop"], ["nebula", "shop"]],
      [
        ["shop", "nebula"],
        ["nebula", "shop"],
      ],
      [["host"], ["host"]],
      [["none"], ["none"]],
    ];
    for (const [networks, expected] of cases) {
      it(`the networks ${JSON.stringify(networks)} become ${expected.join(" and ")}`, () =>
        assert.deepEqual(running({ networks }).instances[0]?.spec.networks, expected));
    }

    it("the network host ignores ports, and a warning says so", () => {
      const app = running({ networks: ["host"], startingPorts: [{ hostPort: 80, containerPort: 80 }] });
      assert.deepEqual(app.instances[0]?.spec.ports, []);
      assert.match(app.notes.join(), /starting_ports are ignored with host networking/);
    });
  });

  it("an entry is given exactly the device's id and group, and nothing else", () => {
    const envVars = { A: "${NEBULA_DEVICE_ID}-${NEBULA_DEVICE_GROUP}", B: "${HOME} $NEBULA_DEVICE_ID", C: "$${NEBULA_DEVICE_ID}", D: "$$${X}" };
    assert.deepEqual(running({ envVars }).instances[0]?.spec.env, {
      A: "till-7-shop",
      B: "${HOME} $NEBULA_DEVICE_ID",
      C: "${NEBULA_DEVICE_ID}",
      D: "$${X}",
    });
  });

  describe("an entry that can't be followed", () => {
    it("an entry with fields of a newer version is refused, with their numbers, and the others are not", () => {
      const config = configOf({ apps: { web: {}, db: {} } });
      for (const entry of config.apps) if (entry.name === "web" && entry.app !== undefined) entry.app = fromTheFuture(entry.app);
      const [web, db] = desiredOf(config, { deviceId: "d", engine }).apps;
      assert.ok(web?.kind === "refused");
      assert.match(web.reason, /worker_too_old.*2003/);
      assert.equal(db?.kind, "running");
    });

    const invalid: Readonly<Record<string, AppInit>> = {
      "containers_per without a number": { containersPer: {} },
      "containers_per of 0": { containersPer: perServer(0) },
      "port 0": { startingPorts: [{ hostPort: 0, containerPort: 80 }] },
      "port 70000": { startingPorts: [{ hostPort: 70_000, containerPort: 80 }] },
      "no image": { dockerImage: "" },
    };
    for (const [what, app] of Object.entries(invalid)) {
      it(`an entry with ${what} is refused with its field, and the others are not`, () => {
        const [web, db] = desired({ apps: { web: app, db: {} } });
        assert.ok(web?.kind === "refused");
        assert.match(web.reason, /^invalid: (containers_per|starting_ports|docker_image)/);
        assert.equal(db?.kind, "running");
      });
    }
  });

  it("a change that needs no new container leaves the hash as it is", () => {
    const before = running({}).instances[0]?.hash;
    const after = running({
      revision: 9n,
      containersPer: perServer(4),
      rollingRestart: true,
      stopGraceSeconds: 3,
      pullPolicy: 1,
      minHealthyMs: 5,
      networks: [],
    });
    assert.equal(after.instances[0]?.hash, before);
    assert.notEqual(running({ restartCount: 1n }).instances[0]?.hash, before);
    assert.equal(running({ dockerImage: "docker.io/library/shop:1" }).instances[0]?.hash, before);
  });
});
