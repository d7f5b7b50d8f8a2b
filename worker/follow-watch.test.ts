import { strict as assert } from "node:assert";
import { ManualClock } from "../common/clock/manual-clock.ts";
import { silentLog } from "../common/log/log.ts";
import { ConfigKeeper } from "./config-keeper.ts";
import { followWatch } from "./follow-watch.ts";
import type { SaveOutcome } from "./last-good-file.ts";
import { configOf } from "./testing/config-builder.ts";
import { LatestEvents } from "./watch-events.ts";

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
  it("waits for the disk, and at most 5 s for one that hangs; images are removed again once it is there", async () => {
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
    it(`is followed at once when the disk answers (${outcome.kind})`, async () => {
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
