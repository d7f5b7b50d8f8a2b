import { strict as assert } from "node:assert";
import fc from "fast-check";
import type { HostPort } from "../../../common/desired/container-spec.ts";
import { PortMap, portsCollide, portText } from "../../../common/desired/host-ports.ts";
import { bareSpec } from "../../../common/testing/bare-spec.ts";
import { Rig } from "../../testing/rig.ts";

const signal = new AbortController().signal;

function on(address: string, hostPort: number, protocol: "tcp" | "udp" = "tcp"): HostPort {
  return { hostPort, protocol, ...(address === "" ? {} : { address }) };
}

const anyPort = fc
  .tuple(
    fc.constantFrom("", "0.0.0.0", "::", "127.0.0.1", "10.0.0.1", "::1"),
    fc.constantFrom(80, 81),
    fc.constantFrom("tcp" as const, "udp" as const),
  )
  .map(([address, hostPort, protocol]) => on(address, hostPort, protocol));

describe("host ports", () => {
  it("host ports collide where number and protocol are equal and the addresses overlap", () => {
    const collide: readonly (readonly [HostPort, HostPort, boolean])[] = [
      [on("", 80), on("", 80), true],
      [on("", 80), on("127.0.0.1", 80), true],
      [on("0.0.0.0", 80), on("127.0.0.1", 80), true],
      [on("::", 80), on("", 80), true],
      [on("127.0.0.1", 80), on("127.0.0.1", 80), true],
      [on("127.0.0.1", 80), on("10.0.0.1", 80), false],
      [on("127.0.0.1", 80), on("127.0.0.1", 81), false],
      [on("127.0.0.1", 80), on("127.0.0.1", 80, "udp"), false],
    ];
    for (const [a, b, expected] of collide)
      assert.deepEqual([portsCollide(a, b), portsCollide(b, a)], [expected, expected], `${portText(a)} ${portText(b)}`);
  });

  it("host ports find in a map exactly those that they collide with, in order", () => {
    fc.assert(
      fc.property(fc.array(anyPort), anyPort, (held, wanted) => {
        const map = new PortMap<number>();
        for (const [index, port] of held.entries()) map.add(port, index);
        const expected = held.flatMap((port, index) => (portsCollide(port, wanted) ? [index] : []));
        assert.deepEqual(map.colliding(wanted), expected);
      }),
    );
  });

  it("host ports of two apps run side by side on two addresses, and the second app goes without where one has all addresses", async () => {
    await using rig = new Rig();
    const app = (hostAddress: string) => ({ startingPorts: [{ hostAddress, hostPort: 80, containerPort: 80 }] });
    await rig.start({ apps: { a: app("127.0.0.1"), b: app("10.0.0.1"), c: app("") } });
    await rig.pass(60_000);
    assert.deepEqual(rig.shown, ["a-1 running", "b-1 running"]);
    assert.match(rig.stateOf("c"), /^failed: claim: host port 80\/tcp is claimed by container 1 of app a already/);
    await rig.apply({ apps: { a: undefined, b: undefined, c: { ...app(""), revision: 2n } } });
    await rig.pass(60_000);
    assert.deepEqual(rig.shown, ["c-1 running"]);
  });

  it("host ports wait for a foreign container only where its address overlaps", async () => {
    await using rig = new Rig();
    const ports = [{ ...on("127.0.0.1", 80), containerPort: 80 }];
    const id = await rig.runtime.create({ name: "foreign", spec: { ...bareSpec("shop:1"), ports }, labels: {} }, signal);
    await rig.runtime.start(id, signal);
    const app = (hostAddress: string) => ({ startingPorts: [{ hostAddress, hostPort: 80, containerPort: 80 }] });
    await rig.start({ apps: { a: app("10.0.0.1"), b: app("127.0.0.1") } });
    await rig.pass(60_000);
    assert.deepEqual(
      rig.shown.filter((line) => line.endsWith("running")),
      ["a-1 running", "foreign running"],
    );
    assert.match(rig.stateOf("b"), /^failed: ports: host port 127\.0\.0\.1:80\/tcp is published by container foreign/);
  });

  it("host ports move an app's container to another address in one exchange", async () => {
    await using rig = new Rig();
    const app = (hostAddress: string, revision: bigint) => ({ revision, startingPorts: [{ hostAddress, hostPort: 80, containerPort: 80 }] });
    await rig.start({ apps: { a: app("", 1n) } });
    await rig.pass(60_000);
    const before = rig.named("a-1").id;
    await rig.apply({ apps: { a: app("127.0.0.1", 2n) } });
    await rig.pass(60_000);
    assert.deepEqual(rig.shown, ["a-1 running"]);
    assert.notEqual(rig.named("a-1").id, before);
    assert.deepEqual(rig.named("a-1").hostPorts, [on("127.0.0.1", 80)]);
  });

  for (const rollingRestart of [false, true]) {
    const how = rollingRestart ? "rolled" : "exchanged";
    it(`host ports of a container that is ${how} are not taken meanwhile by the old container of an app that lost its claim`, async () => {
      await using rig = new Rig();
      const app = (revision: bigint, VALUE: string) => ({
        revision,
        rollingRestart,
        networks: ["nebula"],
        startingPorts: [{ hostPort: 80, containerPort: 80 }],
        envVars: { VALUE },
      });
      await rig.start({ apps: { web: app(1n, "a") } });
      await rig.pass(60_000);
      // db has the claim, and its container is made, but web keeps its old one, as it gets no new one.
      await rig.apply({ apps: { db: app(1n, "a"), web: app(2n, "b") } });
      await rig.pass(60_000);
      assert.deepEqual(rig.shown, ["db-1 created", "web-1 running"]);
      const before = rig.named("web-1").id;
      await rig.apply({ apps: { web: app(2n, "b"), db: app(2n, "b") } });
      await rig.pass(60 * 60_000, 60_000);
      assert.equal(rig.stateOf("web"), "applied");
      assert.equal(rig.named("web-1").phase, "running");
      assert.notEqual(rig.named("web-1").id, before);
      assert.match(rig.stateOf("db"), /^failed: claim: /);
    });
  }

  it("host ports of a container that is exchanged are not taken meanwhile by a stopped container of a refused app", async () => {
    await using rig = new Rig();
    const app = (revision: bigint, hostPort: number, VALUE: string) => ({
      revision,
      networks: ["nebula"],
      startingPorts: [{ hostPort, containerPort: 80 }],
      envVars: { VALUE },
    });
    await rig.start({ apps: { db: app(5n, 80, "a") } });
    await rig.pass(60_000);
    const db = rig.named("db-1").id;
    await rig.runtime.stop(db, 0, signal);
    // a config older than the container of db: that is held back, and started again where its port is not due to web
    await rig.start({ apps: { web: app(1n, 80, "a"), db: app(1n, 81, "a") } });
    await rig.pass(60_000);
    assert.match(rig.stateOf("db"), /^failed: config: /);
    assert.equal(rig.stateOf("web"), "applied");
    assert.deepEqual(rig.shown, ["db-1 exited", "web-1 running"]);
    const starts: string[] = [];
    rig.runtime.before = ({ method, target }) => {
      if (method === "start") starts.push(target);
    };
    await rig.apply({ apps: { web: app(2n, 80, "b"), db: app(1n, 81, "a") } });
    await rig.pass(60 * 60_000, 60_000);
    assert.equal(rig.stateOf("web"), "applied");
    assert.deepEqual(starts, [rig.named("web-1").id]);
    await rig.apply({ apps: { web: app(3n, 82, "b"), db: app(1n, 81, "a") } });
    await rig.pass(60 * 60_000, 60_000);
    assert.deepEqual(rig.shown, ["db-1 running", "web-1 running"]);
  });
});
