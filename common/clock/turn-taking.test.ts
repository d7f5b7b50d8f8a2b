import { strict as assert } from "node:assert";
import fc from "fast-check";
import { isNebulaError } from "../errors/nebula-error.ts";
import {
  AT_ONCE,
  BATCH,
  CALM_MS,
  FLOOD_MS,
  FLOOD_REPORTS,
  MOST_BYTES,
  MOST_REPORTS,
  MOST_TURNS,
  SHARE,
  SLICE_MS,
  TurnTaking,
} from "./turn-taking.ts";

const never = new AbortController().signal;

/** An event loop that a test turns by hand, and work on it that takes a time of its own. */
class Loop {
  nowMs = 0;
  readonly #due: (() => void)[] = [];
  /** Work that was released in this turn: it is done before the next one. */
  readonly #work: number[] = [];
  readonly spent = { fanOut: 0, others: 0 };
  readonly turns = new TurnTaking({ clock: { monotonic: () => this.nowMs }, nextTurn: (turn) => void this.#due.push(turn) });

  get isAtRest(): boolean {
    return this.#due.length === 0;
  }

  /** Runs one turn; returns how long the work took that it released. */
  async turn(): Promise<number> {
    for (const due of this.#due.splice(0)) due();
    await Promise.resolve();
    await Promise.resolve();
    const tookMs = this.#work.splice(0).reduce((sum, ms) => sum + ms, 0);
    this.nowMs += tookMs;
    this.spent.others += tookMs;
    return tookMs;
  }

  /** A fan-out of this many steps; answers how many are left. */
  fanOut(steps: number, stepMs: number): () => number {
    let left = steps;
    this.turns.fanOut(() => {
      this.nowMs += stepMs;
      this.spent.fanOut += stepMs;
      return --left > 0;
    });
    return () => left;
  }

  /** Has connections held whose reports take this time each; answers how many were read again. */
  hold(count: number, reportMs: number): () => number {
    let resumed = 0;
    for (let index = 0; index < count; index++) {
      this.turns.hold({}, () => {
        resumed++;
        this.#work.push(reportMs);
      });
    }
    return () => resumed;
  }

  report(ms: number, done: () => void, signal = never): Promise<void> {
    const turn = this.turns.report(100, signal) ?? Promise.resolve();
    return turn.then(() => {
      this.#work.push(ms);
      done();
    });
  }
}

describe("turn-taking", () => {
  it("T4: a report has its turn at once while nothing is fanned out", () => {
    assert.equal(new Loop().turns.report(100, never), undefined);
    assert.equal(new Loop().turns.batch(never), undefined);
  });

  it("T1: a fan-out takes one step per turn, and the loop rests after the last one", async () => {
    const loop = new Loop();
    const left = loop.fanOut(10, 0.5);
    for (let turn = 1; turn <= 10; turn++) {
      await loop.turn();
      assert.equal(left(), 10 - turn);
    }
    assert.ok(loop.isAtRest);
    assert.ok(!loop.turns.fansOut);
  });

  it("T2: a fan-out has at least half of the time, and most of its share, while the reports of all its devices wait", async () => {
    const loop = new Loop();
    const left = loop.fanOut(600, 0.5);
    const resumed = loop.hold(20_000, 0.2);
    while (left() > 0) await loop.turn();
    const share = loop.spent.fanOut / (loop.spent.fanOut + loop.spent.others);
    assert.ok(share >= 0.7, `${share}`);
    assert.ok(resumed() > 300, `${resumed()} reports during the fan-out`);
    assert.ok(resumed() * 0.2 <= loop.spent.fanOut / 2, `${resumed()}`);
  });

  it("T2: what waits is released for a slice at a time, and for a little more now and then", async () => {
    const loop = new Loop();
    const left = loop.fanOut(3000, 0.5);
    loop.hold(20_000, 0.1);
    const slices: number[] = [];
    for (let turn = 0; left() > 0; turn++) {
      const tookMs = await loop.turn();
      if (turn > 100 && tookMs > 0 && loop.turns.fansOut) slices.push(tookMs);
    }
    assert.ok(slices.length > 100, `${slices.length} slices`);
    assert.ok(Math.max(...slices) <= SLICE_MS / SHARE + AT_ONCE.more * 0.1 + 0.001, `${Math.max(...slices)}`);
    assert.ok(slices.reduce((sum, ms) => sum + ms, 0) / slices.length >= SLICE_MS / SHARE / 2, `${slices}`);
  });

  it("T3: work that is dear beyond measure is released all the same, a few pieces in MOST_TURNS turns", async () => {
    const loop = new Loop();
    const left = loop.fanOut(2000, 0.01);
    const resumed = loop.hold(5000, 200);
    while (left() > 1) await loop.turn();
    const times = Math.floor(2000 / (MOST_TURNS + 2));
    assert.ok(resumed() >= times * AT_ONCE.least, `${resumed()}`);
    assert.ok(resumed() <= AT_ONCE.first + (times + 2) * AT_ONCE.least, `${resumed()}`);
  });

  it("T4: after a fan-out the loop is held for about a slice of the calm per turn, until every connection is read", async () => {
    const loop = new Loop();
    const resumed = loop.hold(5000, 0.1);
    const turns: number[] = [];
    while (!loop.isAtRest) turns.push(await loop.turn());
    assert.equal(resumed(), 5000);
    assert.ok(Math.max(...turns.slice(20)) <= CALM_MS + AT_ONCE.more * 0.1 + 0.001, `${Math.max(...turns)}`);
    assert.ok(turns.length < 5000 / 10, `${turns.length} turns`);
    assert.deepEqual(loop.turns.waiting, { reports: 0, connections: 0 });
  });

  it("T5: a report that finds the queue full is refused with a waiting time, and one that gives up makes room", async () => {
    const loop = new Loop();
    loop.fanOut(10, 0.5);
    const gone = new AbortController();
    const first = loop.turns.report(100, gone.signal);
    for (let count = 1; count < MOST_REPORTS; count++) void loop.turns.report(100, new AbortController().signal);
    assert.equal(loop.turns.waiting.reports, MOST_REPORTS);
    await assert.rejects(
      async () => loop.turns.report(100, never),
      (error) => {
        assert.ok(isNebulaError(error, "unavailable"), String(error));
        return (error.retryAfterMs ?? 0) >= 1000;
      },
    );
    assert.equal(loop.turns.refused, 1);
    gone.abort(new Error("gone"));
    await assert.rejects(async () => first, /gone/);
    assert.ok(loop.turns.report(100, never) instanceof Promise);
    assert.equal(loop.turns.refused, 1);
  });

  it("T5: large reports fill the queue by their bytes", async () => {
    const loop = new Loop();
    loop.fanOut(10, 0.5);
    void loop.turns.report(MOST_BYTES - 50, never);
    await assert.rejects(
      async () => loop.turns.report(100, never),
      (error) => isNebulaError(error, "unavailable"),
    );
    assert.ok(loop.turns.report(50, never) instanceof Promise);
  });

  it("T6: reports have their turn in the order in which they came, and neither they nor batches hold connections up", async () => {
    const loop = new Loop();
    const left = loop.fanOut(4000, 0.5);
    const order: number[] = [];
    for (let index = 0; index < 500; index++) void loop.report(0.1, () => order.push(index));
    const resumed = loop.hold(500, 0.1);
    let batches = 0;
    const storeAgain = (): void => void loop.turns.batch(never)?.then(() => ++batches && storeAgain());
    storeAgain();
    while (left() > 0 && order.length < 500) await loop.turn();
    assert.deepEqual(
      order,
      Array.from({ length: 500 }, (_, index) => index),
    );
    assert.ok(resumed() >= 10, `${resumed()} connections`);
    assert.ok(batches >= 4 && batches <= 12, `${batches} batches`);
  });

  it("T6: where reports are stored here, little more than a batch is released before they are", async () => {
    const loop = new Loop();
    const resumed = loop.hold(3000, 0.001);
    const releasedPerBatch: number[] = [];
    let before = 0;
    let batches = 0;
    const storeAgain = (): void =>
      void loop.turns.batch(never)?.then(async () => {
        batches++;
        releasedPerBatch.push(resumed() - before);
        before = resumed();
        await new Promise(setImmediate); // asks again a turn later, as the memory bus does
        storeAgain();
      });
    storeAgain();
    while (resumed() < 3000) {
      await loop.turn();
      await new Promise(setImmediate);
    }
    assert.ok(batches >= 20, `${batches} batches`);
    assert.ok(Math.max(...releasedPerBatch) <= BATCH + 2 * AT_ONCE.least, releasedPerBatch.join());
  });

  it("T7: when reports arrive in one turn for too long, connections stop being read, more of them with each further report of that turn", async () => {
    const loop = new Loop();
    const held: number[] = [];
    loop.turns.onFlood((most) => held.push(most));
    const arrive = (reports: number, eachMs: number) => {
      for (let count = 0; count < reports; count++) {
        void loop.turns.report(100, never);
        loop.nowMs += eachMs;
      }
    };
    arrive(FLOOD_REPORTS - 1, FLOOD_MS);
    assert.deepEqual(held, [], "few reports that took long");
    arrive(6, 1);
    assert.deepEqual(held.splice(0), [128, 256, 512, 1024, 1024, 1024]);
    await loop.turn();
    arrive(10 * FLOOD_REPORTS, FLOOD_MS / (10 * FLOOD_REPORTS));
    assert.deepEqual(held, [], "many reports that took little, a turn later");
    arrive(1, 1);
    assert.deepEqual(held, [128]);
    await loop.turn();
    assert.ok(loop.isAtRest);
  });

  it("T2: the time in which nothing was to do counts for nobody", async () => {
    const loop = new Loop();
    loop.fanOut(1, 0.5);
    loop.hold(1, 0.1);
    while (!loop.isAtRest) await loop.turn();
    loop.nowMs += 3_600_000;
    const left = loop.fanOut(100, 0.5);
    const resumed = loop.hold(1, 0.1);
    await loop.turn();
    assert.equal(left(), 99);
    assert.equal(resumed(), 1, "the connection is read at once: the fan-out is owed nothing");
  });

  it("a connection that is held twice is read once", async () => {
    const loop = new Loop();
    let resumed = 0;
    const connection = {};
    for (let time = 0; time < 2; time++) loop.turns.hold(connection, () => resumed++);
    assert.ok(loop.turns.isHeld(connection));
    while (!loop.isAtRest) await loop.turn();
    assert.equal(resumed, 1);
    assert.ok(!loop.turns.isHeld(connection));
  });

  it("T1 to T6: all that waits is released in the end, the fan-out ends, and the loop rests", async () => {
    const work = fc.record({
      kind: fc.constantFrom("hold", "report", "batch", "fan-out", "turn"),
      ms: fc.double({ min: 0.01, max: 20, noNaN: true }),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(work, { maxLength: 200 }), async (all) => {
        const loop = new Loop();
        let [begun, done] = [0, 0];
        const noted = () => void done++;
        const resumed: (() => number)[] = [];
        const begin = (work: Promise<unknown>) => {
          begun++;
          void work;
        };
        for (const { kind, ms } of all) {
          if (kind === "hold") resumed.push(loop.hold(1, ms));
          else if (kind === "report") begin(loop.report(ms, noted));
          else if (kind === "batch") begin((loop.turns.batch(never) ?? Promise.resolve()).then(noted));
          else if (kind === "fan-out") loop.fanOut(1 + (Math.trunc(ms * 10) % 50), ms / 10);
          else await loop.turn();
        }
        for (let turn = 0; turn < 20_000 && !loop.isAtRest; turn++) await loop.turn();
        await loop.turn();
        assert.ok(loop.isAtRest);
        assert.equal(done, begun);
        assert.equal(
          resumed.reduce((sum, count) => sum + count(), 0),
          resumed.length,
        );
      }),
      { numRuns: 100 },
    );
  });
});
