import { strict as assert } from "node:assert";
import fc from "fast-check";
import { ManualClock } from "../../common/clock/manual-clock.ts";
import { TurnTaking } from "../../common/clock/turn-taking.ts";
import { eventually } from "../../common/testing/eventually.ts";
import { FanOut } from "./fan-out.ts";

type Told = { name: string; version: number };

/** A group of streams that note the version they were offered last. */
class TestGroup {
  readonly streams = new Set<{ advance(): void; told: number }>();
  version = 0;

  constructor(name: string, count: number, log: Told[]) {
    const group = this;
    for (let index = 0; index < count; index++) {
      this.streams.add({
        told: 0,
        advance() {
          this.told = group.version;
          log.push({ name, version: group.version });
        },
      });
    }
  }

  get reached(): boolean {
    return [...this.streams].every(({ told }) => told === this.version);
  }
}

const offer = (stream: { advance(): void }) => stream.advance();
const begin = () => 0;
const clock = new ManualClock();

function immediate(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

describe("fan-out", () => {
  it("B1: the fan-out gives the event loop its turn after every batch", async () => {
    const log: Told[] = [];
    const group = new TestGroup("a", 1000, log);
    const fanOut = new FanOut({ batch: 64, begin, offer, done: () => {}, turns: new TurnTaking({ clock }) });
    group.version = 1;
    fanOut.start(group);
    const perTurn: number[] = [];
    for (let before = 0; !group.reached; before = log.length) {
      await immediate();
      perTurn.push(log.length - before);
    }
    assert.ok(Math.max(...perTurn) <= 64, `${perTurn}`);
    assert.equal(log.length, 1000);
  });

  it("B4: the fan-out begins each batch once, and offers its time to all streams of the batch", async () => {
    const group = new TestGroup("a", 100, []);
    const offeredAt: number[] = [];
    let batches = 0;
    const note = (_: unknown, now: number) => void offeredAt.push(now);
    const fanOut = new FanOut({ batch: 32, begin: () => ++batches, offer: note, done: () => {}, turns: new TurnTaking({ clock }) });
    fanOut.start(group);
    await eventually(() => offeredAt.length === 100);
    const perBatch = [1, 2, 3, 4].map((batch) => offeredAt.filter((now) => now === batch).length);
    assert.deepEqual(perBatch, [32, 32, 32, 4]);
  });

  it("B2: a large group does not hold up a small one", async () => {
    const log: Told[] = [];
    const [large, small] = [new TestGroup("large", 5000, log), new TestGroup("small", 10, log)];
    const done: string[] = [];
    const fanOut = new FanOut({
      batch: 64,
      begin,
      offer,
      done: (group) => done.push(group === small ? "small" : "large"),
      turns: new TurnTaking({ clock }),
    });
    large.version = small.version = 1;
    fanOut.start(large);
    fanOut.start(small);
    await eventually(() => done.length === 2);
    assert.deepEqual(done, ["small", "large"]);
    const smallDone = log.findLastIndex(({ name }) => name === "small");
    assert.ok(smallDone < 100, `${smallDone}`);
  });

  it("B3: under endless changes the last stream is reached as often as the first", async () => {
    const log: Told[] = [];
    const group = new TestGroup("a", 640, log);
    const fanOut = new FanOut({ batch: 64, begin, offer, done: () => {}, turns: new TurnTaking({ clock }) });
    for (let turn = 0; turn < 100; turn++) {
      group.version++;
      fanOut.start(group);
      await immediate();
    }
    const oldest = Math.min(...[...group.streams].map(({ told }) => told));
    assert.ok(oldest > 80, `the one reached longest ago has version ${oldest} of 100`);
  });

  it("B1 to B3: however groups change, every stream is offered the newest in the end", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.integer({ min: 0, max: 90 }), { minLength: 1, maxLength: 5 }),
        fc.array(fc.tuple(fc.nat(4), fc.boolean()), { maxLength: 30 }),
        async (sizes, changes) => {
          const groups = sizes.map((size, index) => new TestGroup(String(index), size, []));
          let passes = 0;
          const fanOut = new FanOut({ batch: 8, begin, offer, done: () => void passes++, turns: new TurnTaking({ clock }) });
          for (const [index, wait] of changes) {
            const group = groups[index % groups.length];
            if (group === undefined) continue;
            group.version++;
            fanOut.start(group);
            if (wait) await immediate();
          }
          const changed = groups.filter(({ version }) => version > 0).length;
          await eventually(() => passes >= changed && groups.every(({ reached }) => reached), { timeoutMs: 2000, everyMs: 1 });
        },
      ),
      { numRuns: 30 },
    );
  });
});
