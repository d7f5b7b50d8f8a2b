import { strict as assert } from "node:assert";
import { bareSpec } from "../../common/testing/bare-spec.ts";
import { type ConfigInit, perServer } from "../../common/testing/config-builder.ts";
import { HANGS } from "../runtime/simulated/troubles.ts";
import { Rig } from "../testing/rig.ts";

const signal = new AbortController().signal;

// Faults of the original that have to stay away. Those that need a server (1, 2: no config comes) mean here that nothing arrives.
describe("what went wrong in the original, and must not here", () => {
  it("1. while no manager can be reached, containers run, drift is repaired, and a start continues", async () => {
    await using rig = new Rig();
    await rig.start({ apps: { web: {} } });
    await rig.pass(60 * 60_000, 5 * 60_000);
    assert.deepEqual(rig.shown, ["web-1 running"]);
    await rig.runtime.stop(rig.named("web-1").id, 0, signal);
    await rig.settle();
    assert.deepEqual(rig.shown, ["web-1 running"]);
  });

  it("3. a deleted app leaves no container behind", async () => {
    await using rig = new Rig();
    await rig.start({ apps: { web: { containersPer: perServer(3) } } });
    await rig.apply({ apps: { web: undefined } });
    assert.deepEqual(rig.shown, []);
  });

  it("4. an app that is created again after its delete is followed", async () => {
    await using rig = new Rig();
    await rig.start({ apps: { web: { revision: 4n } } });
    await rig.apply({ apps: { web: undefined }, tombstoneRevision: 5n });
    await rig.apply({ apps: { web: { revision: 6n, dockerImage: "shop:2" } } });
    assert.deepEqual(rig.shown, ["web-1 running"]);
    assert.equal(rig.revisionOf("web-1"), "6");
  });

  it("5. a deleted cron_job crashes no worker", async () => {
    await using rig = new Rig();
    await rig.start({ apps: { web: {} }, cronJobs: { job: { schedule: "* * * * *" } } });
    await rig.pass(60_000);
    await rig.apply({ apps: { web: {} }, cronJobs: { job: undefined } });
    await rig.pass(2 * 60_000);
    assert.deepEqual(rig.shown, ["web-1 running"]);
  });

  it("6. an empty list of networks is nebula and bridge", async () => {
    await using rig = new Rig();
    await rig.start({ apps: { web: { networks: [] } }, cronJobs: { job: { schedule: "* * * * *", networks: [] } } });
    await rig.pass(60_000);
    for (const { networks } of rig.containers) assert.deepEqual([...networks].sort(), ["bridge", "nebula"]);
    assert.equal(rig.containers.length, 2);
  });

  it("8. a container that was removed by hand comes back", async () => {
    await using rig = new Rig();
    await rig.start({ apps: { web: {} } });
    await rig.runtime.remove(rig.named("web-1").id, { force: true }, signal);
    await rig.settle();
    assert.deepEqual(rig.shown, ["web-1 running"]);
  });

  it("9. a port that is taken, by a container or by a process, fails that app alone, with its reason", async () => {
    await using rig = new Rig();
    const taken = { ...bareSpec("shop:1"), ports: [{ hostPort: 80, containerPort: 80, protocol: "tcp" as const }] };
    await rig.runtime.start(await rig.runtime.create({ name: "theirs", spec: taken, labels: {} }, signal), signal);
    rig.runtime.occupiedPorts.add(81);
    const port = (hostPort: number) => ({ startingPorts: [{ hostPort, containerPort: 80 }] });
    await rig.start({ apps: { a: port(80), b: port(81), c: port(82) } });
    assert.match(rig.stateOf("a"), /^failed: ports: host port 80/);
    assert.match(rig.stateOf("b"), /^failed: start: .*81.*already allocated/);
    assert.equal(rig.stateOf("c"), "applied");
  });

  const bad: Readonly<Record<string, NonNullable<ConfigInit["apps"]>[string]>> = {
    "containers_per: {}": { containersPer: {} },
    "containers_per of 0": { containersPer: perServer(0) },
    "a port above 65535": { startingPorts: [{ hostPort: 99_999, containerPort: 80 }] },
  };
  for (const [what, app] of Object.entries(bad)) {
    it(`10. ${what} fails that app, and the others are right`, async () => {
      await using rig = new Rig();
      await rig.start({ apps: { bad: app ?? {}, good: {} } });
      assert.match(rig.stateOf("bad"), /^failed: config: invalid: /);
      assert.deepEqual(rig.shown, ["good-1 running"]);
      await rig.apply({ apps: { bad: { revision: 2n }, good: { revision: 2n, ...app } } });
      assert.equal(rig.stateOf("bad"), "applied");
      assert.deepEqual(rig.shown, ["bad-1 running", "good-1 running"], "what runs of an app that became invalid is left as it is");
    });
  }

  for (const [how, trouble, failure] of [
    ["is refused", { afterMs: 0, refusal: "the engine is cross" }, /^failed: inspect: .*the engine is cross/],
    ["never ends", HANGS, /^failed: inspect: /],
  ] as const) {
    it(`11. one app whose every call ${how}, inspects included, keeps no other from converging`, async () => {
      await using rig = new Rig();
      await rig.start({ apps: { bad: {}, good: {} } });
      const bad = rig.named("bad-1").id;
      const troubled = new Set<string>();
      rig.runtime.trouble = ({ method, target }) => {
        if (target !== bad && !target.startsWith("bad")) return undefined;
        troubled.add(method);
        return trouble;
      };
      await rig.apply({ apps: { bad: { revision: 2n, dockerImage: "shop:2" }, good: { revision: 2n, dockerImage: "shop:2" }, more: {} } });
      await rig.pass(60_000, 1000);
      assert.deepEqual([rig.stateOf("good"), rig.stateOf("more")], ["applied", "applied"]);
      assert.match(rig.named("good-1").image, /shop:2/);
      assert.match(rig.stateOf("bad"), failure);
      assert.ok(troubled.has("inspectContainer"), [...troubled].join(", "));
    });
  }
});
