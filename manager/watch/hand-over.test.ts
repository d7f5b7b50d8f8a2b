import { strict as assert } from "node:assert";
import fc from "fast-check";
import { ManualClock } from "../../common/clock/manual-clock.ts";
import type { Member } from "../../common/membership/membership.ts";
import { drain, HandOver } from "./hand-over.ts";

type TestStream = { readonly to: Member | undefined; readonly greeted: boolean; ended: boolean };
type TestGroup = { readonly streams: Set<TestStream> };

const RECEIVERS: readonly Member[] = ["a", "b", "c"].map((name) => ({ name, address: `${name}:1`, boot: name }));

/** Streams of a group, as many toward each receiver as given, and some that stay. */
function groupOf(counts: readonly number[], { greeted = true } = {}): TestGroup {
  const streams = counts.flatMap((count, index) =>
    Array.from({ length: count }, (): TestStream => ({ to: RECEIVERS[index], greeted, ended: false })),
  );
  const stay = Array.from({ length: 10 }, (): TestStream => ({ to: undefined, greeted, ended: false }));
  return { streams: new Set([...stay, ...streams]) };
}

class Rig {
  readonly clock = new ManualClock();
  readonly redirected: TestStream[] = [];
  readonly ended: TestStream[] = [];
  readonly looks: number[] = [];
  readonly handOver: HandOver<TestGroup, TestStream>;

  constructor(groups: readonly TestGroup[], members: number) {
    const target = {
      groups: () => groups,
      receiver: (stream: TestStream) => (stream.ended ? undefined : stream.to),
      greeted: ({ greeted }: TestStream) => greeted,
      redirect: (stream: TestStream) => this.#end(stream, this.redirected),
      end: (stream: TestStream) => this.#end(stream, this.ended),
      members: () => members,
      looked: (streams: number) => void this.looks.push(streams),
    };
    this.handOver = new HandOver(this.clock, target, new AbortController().signal);
  }

  #end(stream: TestStream, list: TestStream[]): boolean {
    if (stream.ended) return false;
    stream.ended = true;
    list.push(stream);
    return true;
  }

  toward(receiver: Member | undefined): number {
    return this.ended.filter(({ to }) => to === receiver).length;
  }
}

describe("hand-over", () => {
  it("a hand-over ends toward each receiver at most 500 streams a second divided by the members other than it, and all within 1.5 times that", async () => {
    const counts = fc.array(fc.integer({ min: 0, max: 300 }), { minLength: 3, maxLength: 3 });
    await fc.assert(
      fc.asyncProperty(counts, fc.integer({ min: 2, max: 6 }), async (toward, members) => {
        const group = groupOf(toward);
        const rig = new Rig([group], members);
        rig.handOver.checkAll();
        const share = 500 / (members - 1);
        let passed = 0;
        const most = Math.max(...toward);
        while (rig.ended.length < toward.reduce((sum, count) => sum + count, 0)) {
          await rig.clock.advance(100);
          passed += 100;
          for (const receiver of RECEIVERS) assert.ok(rig.toward(receiver) <= (share * passed) / 1000 + 1e-6);
          assert.ok(passed <= (1.5 * 1000 * most) / share + 200, `${passed} ms for ${most} at ${share} a second`);
        }
        for (const [index, count] of toward.entries()) assert.equal(rig.toward(RECEIVERS[index]), count);
        assert.equal([...group.streams].filter(({ ended }) => !ended).length, 10, "those that stay");
        assert.equal(rig.handOver.waiting, 0);
      }),
      { numRuns: 15 },
    );
  });

  it("a hand-over checks no more than 256 streams in one turn of the event loop, and each once per change", async () => {
    const groups = [groupOf([1000]), groupOf([3]), groupOf([0, 700])];
    const total = groups.reduce((sum, { streams }) => sum + streams.size, 0);
    const rig = new Rig(groups, 3);
    rig.handOver.checkAll();
    await rig.clock.advance(0);
    assert.equal(
      rig.looks.reduce((sum, count) => sum + count, 0),
      total,
    );
    assert.equal(Math.max(...rig.looks), 256);
    assert.equal(rig.looks.length, Math.ceil(total / 256));
  });

  it("a hand-over redirects at once those that got no answer yet, and waits with the others", async () => {
    const rig = new Rig([groupOf([400], { greeted: false }), groupOf([5])], 2);
    rig.handOver.checkAll();
    await rig.clock.advance(0);
    assert.equal(rig.redirected.length, 400);
    assert.deepEqual([rig.ended.length, rig.handOver.waiting], [0, 5]);
  });

  it("a hand-over ends a stream once, though its group is checked again and again, and forgets those that the next change gives back", async () => {
    const group = groupOf([100]);
    const rig = new Rig([group], 2);
    for (let round = 0; round < 5; round++) rig.handOver.check(group);
    await rig.clock.advance(0);
    assert.equal(rig.handOver.waiting, 100);
    for (const stream of [...group.streams].slice(10, 60)) group.streams.delete(stream); // given back
    rig.handOver.checkAll();
    await rig.clock.advance(2000);
    assert.equal(rig.ended.length, 50);
  });
});

describe("drain", () => {
  it("a drain ends every stream once and within its time, at 500 a second or faster where the time requires it", async () => {
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 0, max: 3000 }), fc.integer({ min: 200, max: 10_000 }), async (count, withinMs) => {
        const clock = new ManualClock();
        const ended: number[] = [];
        let isDone = false;
        const streams = Array.from({ length: count }, (_, index) => index);
        const done = drain(streams, { withinMs, clock, signal: new AbortController().signal, end: (stream) => void ended.push(stream) });
        void done.then(() => {
          isDone = true;
        });
        const perSecond = Math.max(500, (count * 1000) / (0.8 * withinMs));
        let passed = 0;
        for (; passed < withinMs; passed += 50) {
          await clock.advance(50);
          assert.ok(ended.length <= ((passed + 50) / 1000) * perSecond + 1e-6);
        }
        await clock.advance(100);
        assert.ok(isDone, `${ended.length} of ${count} after ${passed} ms`);
        assert.deepEqual(
          ended.toSorted((one, other) => one - other),
          streams,
        );
        if (count >= 100) assert.notDeepEqual(ended, streams, "in random order");
      }),
      { numRuns: 20 },
    );
  });

  it("a drain stops when its signal is aborted", async () => {
    const clock = new ManualClock();
    const stop = new AbortController();
    let ended = 0;
    const done = drain(Array(1000).keys(), { withinMs: 60_000, clock, signal: stop.signal, end: () => void ended++ });
    await clock.advance(500);
    stop.abort();
    await done;
    assert.ok(ended > 0 && ended <= 250, `${ended}`);
  });
});
