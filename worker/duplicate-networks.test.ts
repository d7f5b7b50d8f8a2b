import { strict as assert } from "node:assert";
import { LABEL, ORCHESTRATOR } from "./labels.ts";
import { bareSpec } from "./runtime/contract-fixture.ts";
import { Rig } from "./testing/rig.ts";

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
  it("become one, the oldest, and then apps start", async () => {
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

  it("become one before the first config", async () => {
    await using rig = new Rig();
    const oldest = duplicate(rig);
    await rig.pass(10);
    duplicate(rig);
    await rig.start();
    assert.deepEqual(ids(rig), [oldest]);
  });

  it("keep the one that a container uses, though it is not the oldest", async () => {
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

  it("keep the one that a foreign container uses, and the one that no worker made", async () => {
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

  it("fail the apps with the reason, and stop nothing, where one cannot be removed", async () => {
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
