import { strict as assert } from "node:assert";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { AppSchema, PortProtocol } from "../../gen/nebula/v1/app_pb.ts";
import { cpuMs } from "../testing/cpu-time.ts";
import { appWarnings, sharedClaimWarning, sharedPortClaims } from "./ports.ts";

const app = (name: string, ports: readonly number[], fields: MessageInitShape<typeof AppSchema> = {}) =>
  create(AppSchema, { name, dockerImage: "x", startingPorts: ports.map((port) => ({ hostPort: port, containerPort: 80 })), ...fields });

describe("warnings", () => {
  it("warnings name ports that a host's network ignores", () => {
    assert.match(appWarnings(app("web", [80], { networks: ["host"] })).join(), /ports are ignored with the network host/);
    assert.deepEqual(appWarnings(app("web", [80], { networks: ["nebula"] })), []);
  });

  it("warnings name networks after one that stands alone", () => {
    assert.match(appWarnings(app("web", [], { networks: ["none", "nebula"] })).join(), /networks after none are ignored/);
  });

  it("warnings name ports that collide once a device has enough cores", () => {
    const perCore = { containersPer: { per: { case: "cpu" as const, value: 1 } } };
    assert.match(appWarnings(app("web", [80, 8080, 84], perCore)).join(), /80 and 84\/tcp collide on a device that runs more than 4 containers/);
    assert.deepEqual(appWarnings(app("web", [80], perCore)), []);
    assert.match(appWarnings(app("web", [8000, 8999], perCore)).join(), /more than 999 containers/);
    assert.deepEqual(appWarnings(app("web", [8000, 9000], perCore)), [], "no device has more than 1000 containers of one app");
  });

  it("warnings name one host port that two apps of a group claim, once for a pair", () => {
    const claims = sharedPortClaims(
      [app("a", [80, 90]), app("b", [78], { containersPer: { per: { case: "server", value: 4 } } }), app("c", [90]), app("d", [443])],
      20,
    );
    assert.deepEqual(
      claims.map((claim) => sharedClaimWarning("pos", claim)),
      [
        "device_group pos: apps a and b both claim host port 80/tcp; a comes first and gets it",
        "device_group pos: apps a and c both claim host port 90/tcp; a comes first and gets it",
      ],
    );
  });

  it("warnings name one port of two apps only where the addresses overlap", () => {
    const on = (name: string, ...addresses: string[]) =>
      app(name, [], { startingPorts: addresses.map((hostAddress) => ({ hostAddress, hostPort: 80, containerPort: 80 })) });
    const apps = [on("a", "127.0.0.1"), on("b", "10.0.0.1"), on("c", ""), on("d", "10.0.0.1"), on("e", "::1")];
    assert.deepEqual(
      sharedPortClaims(apps, 10).map((claim) => sharedClaimWarning("pos", claim)),
      [
        "device_group pos: apps a and c both claim host port 80/tcp; a comes first and gets it",
        "device_group pos: apps b and d both claim host port 10.0.0.1:80/tcp; b comes first and gets it",
      ],
    );
    assert.equal(sharedPortClaims([on("c", ""), on("e", "::1")], 10).length, 1);
  });

  it("warnings name a large device only where the addresses overlap", () => {
    const per = { containersPer: { per: { case: "cpu", value: 1 } } } as const;
    const ports = (...addresses: string[]) => addresses.map((hostAddress, index) => ({ hostAddress, hostPort: 80 + index, containerPort: 80 }));
    assert.deepEqual(appWarnings(app("web", [], { ...per, startingPorts: ports("127.0.0.1", "10.0.0.1") })), []);
    assert.equal(appWarnings(app("web", [], { ...per, startingPorts: ports("127.0.0.1", "10.0.0.1", "127.0.0.1") })).length, 1);
  });

  it("warnings leave out ports that no containers publish at the same time", () => {
    const udp = app("u", [], { startingPorts: [{ hostPort: 80, containerPort: 80, protocol: PortProtocol.UDP }] });
    assert.deepEqual(sharedPortClaims([app("a", [80]), udp, app("h", [80], { networks: ["host"] }), app("s", [80], { running: false })], 20), []);
  });

  it("warnings are bounded for any number of apps and ports", () => {
    const ports = Array.from({ length: 60 }, (_, index) => index * 1000 + 1);
    const all = Array.from({ length: 1000 }, (_, index) => app(`a${index}`, ports, { containersPer: { per: { case: "server", value: 1000 } } }));
    assert.ok(cpuMs(() => assert.equal(sharedPortClaims(all, 20).length, 20)) < 5000);
  });
});
