import { strict as assert } from "node:assert";
import { ManualClock } from "../../common/clock/manual-clock.ts";
import { silentLog } from "../../common/log/log.ts";
import { configOf } from "../../common/testing/config-builder.ts";
import type { SaveOutcome } from "../data/whole-file.ts";
import { LatestEvents } from "./events.ts";
import { ConfigKeeper, followWatch } from "./follow.ts";

/** Follows one config while the disk takes `saving`; what is done is logged in order. */
function follow(saving: Promise<SaveOutcome>) {
  const clock = new ManualClock();
  const events = new LatestEvents();
  const done: string[] = [];
  const followed = followWatch(events, {
    clock,
    keeper: new ConfigKeeper(undefined, "", []),
    lastGood: { saveConfig: () => saving },
    reconciler: { setConfig: (_config, etag) => void done.push(`set ${etag}`), wake: () => void done.push("wake") },
    sender: { connected: () => {}, changed: () => {}, configCame: () => void done.push("came") },
    state: { setProblem: () => {}, configCame: () => {} },
    log: silentLog,
  });
  events.put({ kind: "config", config: configOf({}), etag: "e1" });
  const end = async () => {
    events.close();
    await followed;
  };
  return { clock, done, end };
}

describe("a new config", () => {
  it("a new config waits for the disk, and at most 5 s for one that hangs; images are removed again once it is saved", async () => {
    const saving = Promise.withResolvers<SaveOutcome>();
    const { clock, done, end } = follow(saving.promise);
    await clock.advance(4999);
    assert.deepEqual(done, []);
    await clock.advance(1);
    assert.deepEqual(done, ["set e1", "came"]);
    saving.resolve({ kind: "saved" });
    await clock.advance(0);
    assert.deepEqual(done, ["set e1", "came", "wake"]);
    assert.equal(clock.sleeping, 0);
    await end();
  });

  for (const outcome of [{ kind: "saved" }, { kind: "not_saved", reason: "full" }] as const) {
    it(`a new config is followed at once when the disk answers (${outcome.kind})`, async () => {
      const { clock, done, end } = follow(Promise.resolve(outcome));
      await clock.advance(0);
      assert.deepEqual(
        done.filter((what) => what !== "wake"),
        ["set e1", "came"],
      );
      assert.equal(clock.sleeping, 0);
      await end();
    });
  }
});

describe("the configs that came", () => {
  it("configs are held with their etag, but not where an entry was ignored: then the server has to send it again", () => {
    const keeper = new ConfigKeeper(undefined, "", []);
    assert.equal(keeper.accept(configOf({ apps: { web: { revision: 5n } } }), "new").kind, "accepted");
    assert.equal(keeper.etag, "new");
    const stale = keeper.accept(configOf({ apps: { web: { revision: 3n } } }), "stale");
    assert.ok(stale.kind === "accepted");
    assert.equal(stale.config.apps[0]?.revision, 5n);
    assert.equal(keeper.etag, "");
  });

  it("a config of another cluster is followed from the start, and that is reported; the very first one is not a change", () => {
    const keeper = new ConfigKeeper(undefined, "", []);
    const first = keeper.accept(configOf({ apps: { web: { revision: 5n } } }), "a");
    const other = keeper.accept(configOf({ cluster: { id: "c2", epoch: 1n }, apps: { web: { revision: 1n } } }), "b");
    assert.ok(first.kind === "accepted" && !first.clusterChanged);
    assert.ok(other.kind === "accepted" && other.clusterChanged);
    assert.equal(other.config.apps[0]?.revision, 1n);
  });

  it("the cluster of a config is added to those that the data folder followed, the newest last, and never more than 100", () => {
    const keeper = new ConfigKeeper(undefined, "", ["taken-over", "c1"]);
    keeper.accept(configOf({ cluster: { id: "c2", epoch: 1n } }), "a");
    keeper.accept(configOf({ cluster: { id: "c1", epoch: 1n } }), "b");
    assert.deepEqual(keeper.followed, ["taken-over", "c2", "c1"]);
    for (let n = 0; n < 200; n++) keeper.accept(configOf({ cluster: { id: `n${n}`, epoch: 1n } }), "c");
    assert.equal(keeper.followed.length, 100);
    assert.equal(keeper.followed.at(-1), "n199");
  });

  it("a config of a lower epoch is ignored, and changes nothing", () => {
    const keeper = new ConfigKeeper(undefined, "", []);
    keeper.accept(configOf({ cluster: { id: "c1", epoch: 2n }, apps: { web: {} } }), "a");
    assert.equal(keeper.accept(configOf({ cluster: { id: "c1", epoch: 1n }, apps: { web: { revision: 9n } } }), "b").kind, "ignored");
    assert.equal(keeper.etag, "a");
  });
});
