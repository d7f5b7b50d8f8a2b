import { strict as assert } from "node:assert";
import { bareSpec } from "../../common/testing/bare-spec.ts";
import { LABEL, ORCHESTRATOR } from "../observed/labels.ts";
import { Rig } from "../testing/rig.ts";

const signal = new AbortController().signal;
const OURS = { [LABEL.orchestrator]: ORCHESTRATOR };
const MINUTE = 60_000;

function duplicate(rig: Rig, labels: Readonly<Record<string, string>> = OURS): string {
  return rig.runtime.networks.duplicate("nebula", labels, rig.clock.now());
}

const ids = (rig: Rig) => rig.runtime.networks.named("nebula").map(({ id }) => id);

/** A container of somebody else on one of the networks. */
async function foreignOn(rig: Rig, network: string): Promise<void> {
  const id = await rig.runtime.create({ name: "theirs", spec: bareSpec("shop:1"), labels: {} }, signal);
  await rig.runtime.start(id, signal);
  await rig.runtime.connectNetwork(id, network, signal);
}

describe("several networks nebula, of workers that started together", () => {
  it("several networks nebula become one, the oldest, and then apps start", async () => {
    await using rig = new Rig();
    const oldest = duplicate(rig);
    await rig.pass(10);
    duplicate(rig);
    duplicate(rig);
    await rig.start({ apps: { web: {} }, cronJobs: { job: { schedule: "* * * * *" } } });
    assert.deepEqual(ids(rig), [oldest]);
    assert.deepEqual(rig.shown, ["web-1 running"]);
    assert.deepEqual(rig.named("web-1").networkIds.includes(oldest), true);
    assert.equal(rig.stateOf("web"), "applied");
    assert.deepEqual(rig.methods("start").length, 1, "no start was tried before");
  });

  it("several networks nebula become one before the first config", async () => {
    await using rig = new Rig();
    const oldest = duplicate(rig);
    await rig.pass(10);
    duplicate(rig);
    await rig.start();
    assert.deepEqual(ids(rig), [oldest]);
  });

  it("several networks nebula keep the one that a container uses, though it is not the oldest", async () => {
    await using rig = new Rig();
    await rig.start({ apps: { web: {} } });
    const [used] = ids(rig);
    await rig.kill();
    rig.clock.setWall(rig.clock.now() - 60 * MINUTE);
    duplicate(rig); // dated an hour earlier
    await rig.start({ apps: { web: {}, db: {} } });
    assert.deepEqual(ids(rig), [used]);
    assert.deepEqual(rig.shown, ["db-1 running", "web-1 running"]);
  });

  it("several networks nebula keep the one that a foreign container uses, and the one that no worker made", async () => {
    await using rig = new Rig();
    duplicate(rig);
    await rig.pass(10);
    const used = duplicate(rig);
    await foreignOn(rig, used);
    await rig.start({ apps: { web: {} } });
    assert.deepEqual(ids(rig), [used]);
    assert.equal(rig.stateOf("web"), "applied");

    await using other = new Rig();
    duplicate(other);
    await other.pass(10);
    const theirs = duplicate(other, {});
    await other.start({ apps: { web: {} } });
    assert.deepEqual(ids(other), [theirs]);
    assert.equal(other.stateOf("web"), "applied");
  });

  /** Puts a running container on another network of the same name. */
  async function moveTo(rig: Rig, network: string, name: string): Promise<void> {
    const { id, networkIds } = rig.named(name);
    for (const from of networkIds.filter((known) => ids(rig).includes(known))) await rig.runtime.disconnectNetwork(id, from, signal);
    await rig.runtime.connectNetwork(id, network, signal);
  }

  it("several networks nebula become one where containers of the worker use several, and none of these is stopped or made again", async () => {
    await using rig = new Rig();
    const apps = { web: {}, db: {}, cache: {} };
    await rig.start({ apps });
    const [first = ""] = ids(rig);
    const before = rig.containers.map(({ id, startedAt }) => [id, startedAt]);
    await rig.kill();
    await moveTo(rig, duplicate(rig), "db-1");
    assert.equal(ids(rig).length, 2);
    await rig.start({ apps: { ...apps, later: { revision: 2n } } });
    assert.deepEqual(ids(rig), [first]);
    const after = new Map(rig.containers.map(({ id, startedAt }) => [id, startedAt]));
    for (const [id, startedAt] of before) assert.equal(after.get(String(id)), startedAt);
    const [bridge = ""] = rig.runtime.networks.named("bridge").map(({ id }) => id);
    for (const { networkIds } of rig.containers) assert.deepEqual(new Set(networkIds), new Set([first, bridge]));
    for (const app of ["web", "db", "cache", "later"]) assert.equal(rig.stateOf(app), "applied");
  });

  it("several networks nebula become one where two workers of different instances use one each, and containers move once at most", async () => {
    await using rig = new Rig();
    await rig.start({ apps: { web: {} } });
    await using other = new Rig({ sharedWith: rig, bootPrefix: "other", identity: { instance: "other" } });
    await other.start({ apps: { db: {} } });
    await rig.kill();
    await other.kill();
    await moveTo(rig, duplicate(rig), "other-db-1");
    rig.calls.length = 0;
    await rig.start({ apps: { web: {}, more: { revision: 2n } } });
    await other.start({ apps: { db: {}, even: { revision: 2n } } });
    await rig.pass(2 * MINUTE, 1000);
    assert.equal(ids(rig).length, 1);
    assert.equal(rig.methods("disconnectNetwork").length, 1);
    const [kept = ""] = ids(rig);
    for (const { name, networkIds } of rig.containers) assert.ok(networkIds.includes(kept), name);
    assert.deepEqual([rig.stateOf("web"), rig.stateOf("more"), other.stateOf("db"), other.stateOf("even")], Array(4).fill("applied"));
  });

  it("two networks nebula stay where foreign containers are on both, and an app that cannot be started fails with the reason", async () => {
    await using rig = new Rig();
    const [one, two] = [duplicate(rig), duplicate(rig)];
    await foreignOn(rig, one);
    const id = await rig.runtime.create({ name: "theirs too", spec: bareSpec("shop:1"), labels: {} }, signal);
    await rig.runtime.start(id, signal);
    await rig.runtime.connectNetwork(id, two, signal);
    await rig.start({ apps: { web: {} } });
    assert.equal(ids(rig).length, 2);
    assert.match(rig.stateOf("web"), /^failed: start: .*ambiguous/);
  });

  it("several networks nebula fail the apps with the reason, and stop nothing, where one cannot be removed", async () => {
    await using rig = new Rig();
    await rig.start({ apps: { web: {} } });
    const { id } = rig.named("web-1");
    duplicate(rig);
    rig.runtime.trouble = ({ method }) => (method === "removeNetwork" ? { afterMs: 0, refusal: "refused for a test" } : undefined);
    await rig.apply({ apps: { web: { revision: 2n, dockerImage: "shop:2" } } });
    await rig.pass(2 * MINUTE, 1000);
    assert.match(rig.stateOf("web"), /^failed: .*refused for a test/);
    assert.deepEqual(rig.shown, ["web-1 running"]);
    assert.equal(rig.named("web-1").id, id);
    rig.runtime.trouble = undefined;
    await rig.pass(11 * MINUTE, MINUTE);
    assert.equal(rig.stateOf("web"), "applied");
  });
});
