import { strict as assert } from "node:assert";
import { ManualClock } from "./manual-clock.ts";
import { HELD_MS, TurnTime } from "./turn-time.ts";

describe("the time of a turn", () => {
  it("a turn is over when it has held the event loop for long, and the next one begins with the next turn of that", async () => {
    const clock = new ManualClock();
    const time = new TurnTime(clock);
    await clock.advance(HELD_MS - 1);
    assert.ok(!time.isOver);
    await clock.advance(1);
    assert.ok(time.isOver);
    let turned = false;
    setImmediate(() => {
      turned = true;
    });
    await time.next();
    assert.ok(turned && !time.isOver);
  });

  it("work whose caller has gone ends between two turns", async () => {
    const gone = new AbortController();
    const next = new TurnTime(new ManualClock()).next(gone.signal);
    gone.abort(new Error("gone"));
    await assert.rejects(next, /gone/);
  });
});
