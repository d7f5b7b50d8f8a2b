import { strict as assert } from "node:assert";
import fc from "fast-check";
import { configuredLogin } from "../access/verified-credentials.ts";
import { configAnswer, NO_SUCH_GROUP, redirectAnswer, UNCHANGED, type WatchAnswer } from "../config/config-answer.ts";
import { type Connection, GroupWatch, type SlotCall, StreamSlot, type Watcher } from "./group-watch.ts";

const DEVICE: Watcher = {
  deviceId: "d",
  boot: "b",
  keepaliveMs: 10_000,
  serveHere: false,
  viaPart: false,
  workerVersion: "",
  features: new Set<string>(),
  login: configuredLogin({ kind: "part" }),
};

/** A group whose answer and clock a test sets. */
class TestGroup {
  readonly watched = new GroupWatch("g", (slot) => void slot.advance(this.time));
  time = 0;

  get current(): WatchAnswer | undefined {
    return this.watched.answer;
  }
  set current(answer: WatchAnswer) {
    this.watched.set({ answer, spread: 1, madeFrom: [], merged: undefined });
  }
  open(call: SlotCall, { watcher = DEVICE, etag = "", connection }: { watcher?: Watcher; etag?: string; connection?: Connection } = {}): StreamSlot {
    return new StreamSlot({ call, group: this.watched, watcher, connection, etag, openedAt: 0, now: this.time });
  }
}

/** A call that keeps what is written until a test says it is on its way. */
class TestCall implements SlotCall {
  readonly written: WatchAnswer[] = [];
  ends = 0;
  readonly #pending: (() => void)[] = [];

  write(answer: WatchAnswer, written: () => void) {
    this.written.push(answer);
    this.#pending.push(written);
  }
  get inFlight() {
    return this.#pending.length;
  }
  flush() {
    this.#pending.shift()?.();
  }
  end() {
    this.ends++;
  }
  fail() {
    this.ends++;
  }
}

const CONFIGS = Array.from({ length: 101 }, (_, version) => configAnswer(new Uint8Array([version]), `etag-${version}`));

function config(version: number): WatchAnswer {
  return CONFIGS[version] ?? NO_SUCH_GROUP;
}

describe("stream slot", () => {
  it("S4: an answer is written only to a stream whose worker named its feature, be it pushed or the last one", () => {
    const later: WatchAnswer = { ...config(7), feature: "assigned" };
    const written = (features: readonly string[], act: (group: TestGroup, slot: StreamSlot) => void) => {
      const group = new TestGroup();
      const call = new TestCall();
      const slot = group.open(call, { watcher: { ...DEVICE, features: new Set(features) } });
      act(group, slot);
      while (call.inFlight > 0) call.flush();
      return [call.written, call.ends] as const;
    };
    const pushed = (group: TestGroup, slot: StreamSlot) => {
      for (const answer of [config(1), later, config(2)]) {
        group.current = answer;
        slot.advance(group.time);
      }
    };
    assert.deepEqual(written([], pushed)[0], [config(1), config(2)]);
    const alone = (group: TestGroup, slot: StreamSlot) => {
      group.current = later;
      assert.equal(slot.advance(group.time), slot.watcher.features.has("assigned"));
    };
    assert.deepEqual(written(["other"], alone)[0], []);
    assert.deepEqual(written(["other", "assigned"], alone)[0], [later]);
    assert.deepEqual(
      written([], (_, slot) => slot.finish(later)),
      [[], 1],
    );
    assert.deepEqual(
      written(["assigned"], (_, slot) => slot.finish(later)),
      [[later], 1],
    );
    const first = [config(1), UNCHANGED, NO_SUCH_GROUP, redirectAnswer("a:1", 0)];
    assert.deepEqual(
      first.map(({ feature }) => feature),
      [undefined, undefined, undefined, undefined],
    );
  });

  it("W2, S1, S2: a stream has at most one write in flight, and sends the newest answer last, for events in any order", () => {
    const step = fc.oneof(
      fc.record({ kind: fc.constant("change" as const), version: fc.integer({ min: 0, max: 4 }) }),
      fc.record({ kind: fc.constant("offer" as const) }),
      fc.record({ kind: fc.constant("flush" as const) }),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 40 }), fc.constantFrom("", "etag-1", "etag-9"), (steps, held) => {
        const group = new TestGroup();
        const call = new TestCall();
        const slot = group.open(call, { etag: held });
        for (const next of steps) {
          if (next.kind === "change") group.current = next.version === 0 ? NO_SUCH_GROUP : config(next.version);
          if (next.kind !== "flush") slot.advance(group.time);
          else call.flush();
          assert.ok(call.inFlight <= 1);
        }
        while (call.inFlight > 0) call.flush();
        const last = call.written.at(-1);
        if (group.current === undefined) assert.equal(last, undefined);
        else if (last === UNCHANGED) assert.equal(group.current.etag, held);
        else assert.equal(last?.etag, group.current.etag);
        const repeated = call.written.some((answer, index) => answer === call.written[index - 1]);
        assert.ok(!repeated, "no answer is sent twice in a row");
      }),
    );
  });

  it("of many changes during one write the device gets the last alone", () => {
    const group = new TestGroup();
    const call = new TestCall();
    const slot = group.open(call);
    for (let version = 1; version <= 100; version++) {
      group.current = config(version);
      slot.advance(group.time);
    }
    call.flush();
    assert.deepEqual(
      call.written.map(({ etag }) => etag),
      ["etag-1", "etag-100"],
    );
  });

  it("S3: a stream sends nothing after its last message", () => {
    const group = new TestGroup();
    const call = new TestCall();
    const slot = group.open(call);
    group.current = config(1);
    slot.advance(group.time);
    slot.finish(redirectAnswer("", 1));
    group.current = config(2);
    slot.advance(group.time);
    call.flush();
    call.flush();
    slot.finish(redirectAnswer("", 1));
    assert.equal(call.written.length, 2);
    assert.equal(call.ends, 1);
  });

  describe("silence", () => {
    const ANSWER_MS = 30_000;
    function watched(watcher: Watcher) {
      const group = new TestGroup();
      const connection = { bytesRead: 100, destroy() {} };
      const call = new TestCall();
      const slot = group.open(call, { watcher, connection });
      const at = (seconds: number) => {
        group.time = seconds * 1000;
        return slot.checkSilence(group.time, ANSWER_MS);
      };
      return { group, connection, call, slot, at };
    }

    it("a stream is silent after more than 2.5 keepalives without a byte", () => {
      const { connection, at } = watched(DEVICE);
      assert.equal(at(20), undefined);
      connection.bytesRead++;
      assert.equal(at(24), undefined);
      assert.equal(at(49), undefined);
      assert.equal(at(49.1), "silent");
    });

    it("a stream is silent 30 s after a push without a byte, counted from the oldest that was not answered", () => {
      const { group, connection, call, slot, at } = watched({ ...DEVICE, keepaliveMs: 300_000 });
      assert.equal(at(10), undefined);
      group.current = config(1);
      slot.advance(group.time);
      call.flush();
      assert.equal(at(39), undefined);
      connection.bytesRead++; // the report
      assert.equal(at(41), undefined);
      assert.equal(at(100), undefined);
      connection.bytesRead++; // a ping shortly before the next push
      group.time = 101_000;
      group.current = config(2);
      slot.advance(group.time);
      assert.equal(at(130), undefined);
      assert.equal(at(131.1), "unanswered");
    });

    it("the silence after a push does not count for a watch that is not a device's, or comes from another part", () => {
      for (const watcher of [
        { ...DEVICE, deviceId: "" },
        { ...DEVICE, viaPart: true },
      ]) {
        const { group, slot, at } = watched({ ...watcher, keepaliveMs: 300_000 });
        group.current = config(1);
        slot.advance(group.time);
        assert.equal(at(700), undefined);
        assert.equal(at(751), "silent");
      }
    });
  });
});
