import { strict as assert } from "node:assert";
import fc from "fast-check";
import { configuredLogin } from "../access/login.ts";
import { type SlotCall, type SlotGroup, StreamSlot, type Watcher } from "./stream-slot.ts";
import { configAnswer, NO_SUCH_GROUP, redirectAnswer, UNCHANGED, type WatchAnswer } from "./watch-answer.ts";

const DEVICE: Watcher = { deviceId: "d", boot: "b", keepaliveMs: 10_000, serveHere: false, viaPart: false, login: configuredLogin({ kind: "part" }) };

/** A group whose answer and clock a test sets. */
class TestGroup implements SlotGroup {
  current: WatchAnswer | undefined;
  time = 0;
  pushes = 0;

  get loaded() {
    return this.current === undefined ? undefined : { answer: this.current };
  }
  get answer() {
    return this.current;
  }
  now() {
    return this.time;
  }
  pushed() {
    this.pushes++;
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
  it("W2, S1, S2: whatever happens in whatever order, one write is in flight at most, and in the end the device was told the newest", () => {
    const step = fc.oneof(
      fc.record({ kind: fc.constant("change" as const), version: fc.integer({ min: 0, max: 4 }) }),
      fc.record({ kind: fc.constant("offer" as const) }),
      fc.record({ kind: fc.constant("flush" as const) }),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 40 }), fc.constantFrom("", "etag-1", "etag-9"), (steps, held) => {
        const group = new TestGroup();
        const call = new TestCall();
        const slot = new StreamSlot(call, group, DEVICE, undefined, held, 0);
        for (const next of steps) {
          if (next.kind === "change") group.current = next.version === 0 ? NO_SUCH_GROUP : config(next.version);
          if (next.kind !== "flush") slot.advance();
          else call.flush();
          assert.ok(call.inFlight <= 1);
        }
        while (call.inFlight > 0) call.flush();
        const last = call.written.at(-1);
        if (group.current === undefined) assert.equal(last, undefined);
        else if (last === UNCHANGED) assert.equal(group.current.etag, held);
        else assert.equal(last?.etag, group.current.etag);
        const repeated = call.written.some((answer, index) => answer === call.written[index - 1]);
        assert.ok(!repeated, "nothing is told twice in a row");
      }),
    );
  });

  it("latest wins: of many changes during one write the device gets the last alone", () => {
    const group = new TestGroup();
    const call = new TestCall();
    const slot = new StreamSlot(call, group, DEVICE, undefined, "", 0);
    for (let version = 1; version <= 100; version++) {
      group.current = config(version);
      slot.advance();
    }
    call.flush();
    assert.deepEqual(
      call.written.map(({ etag }) => etag),
      ["etag-1", "etag-100"],
    );
  });

  it("S3: says nothing after its last word", () => {
    const group = new TestGroup();
    const call = new TestCall();
    const slot = new StreamSlot(call, group, DEVICE, undefined, "", 0);
    group.current = config(1);
    slot.advance();
    slot.finish(redirectAnswer("", 1));
    group.current = config(2);
    slot.advance();
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
      const slot = new StreamSlot(call, group, watcher, connection, "", 0);
      const at = (seconds: number) => {
        group.time = seconds * 1000;
        return slot.silence(group.time, ANSWER_MS);
      };
      return { group, connection, call, slot, at };
    }

    it("is more than 2.5 keepalives without a byte", () => {
      const { connection, at } = watched(DEVICE);
      assert.equal(at(20), undefined);
      connection.bytesRead++;
      assert.equal(at(24), undefined);
      assert.equal(at(49), undefined);
      assert.equal(at(49.1), "silent");
    });

    it("is 30 s without a byte after a push, counted from the oldest that was not answered", () => {
      const { group, connection, call, slot, at } = watched({ ...DEVICE, keepaliveMs: 300_000 });
      assert.equal(at(10), undefined);
      group.current = config(1);
      slot.advance();
      call.flush();
      assert.equal(at(39), undefined);
      connection.bytesRead++; // the report
      assert.equal(at(41), undefined);
      assert.equal(at(100), undefined);
      connection.bytesRead++; // a ping shortly before the next push
      group.time = 101_000;
      group.current = config(2);
      slot.advance();
      assert.equal(at(130), undefined);
      assert.equal(at(131.1), "unanswered");
    });

    it("after a push does not count for a watch that is no device's, or comes from another part", () => {
      for (const watcher of [
        { ...DEVICE, deviceId: "" },
        { ...DEVICE, viaPart: true },
      ]) {
        const { group, slot, at } = watched({ ...watcher, keepaliveMs: 300_000 });
        group.current = config(1);
        slot.advance();
        assert.equal(at(700), undefined);
        assert.equal(at(751), "silent");
      }
    });
  });
});
