import { strict as assert } from "node:assert";
import fc from "fast-check";
import { ManualClock } from "../../common/clock/manual-clock.ts";
import { LARGEST_WATCH_REQUEST } from "../../common/config/watch-features.ts";
import { framed } from "../testing/raw-client.ts";
import { MessageReader, PARTIAL_BYTES, PARTIAL_MS, PartialMessages, type Skipped } from "./message-reader.ts";

/** A stream that keeps what is sent while it is paused, as HTTP/2 does. */
class PausableStream {
  isPaused = false;
  readonly #kept: Uint8Array[] = [];
  #reader: MessageReader | undefined;

  readBy(reader: MessageReader): void {
    this.#reader = reader;
  }

  pause(): void {
    this.isPaused = true;
  }

  resume(): void {
    this.isPaused = false;
    for (let chunk = this.#kept.shift(); chunk !== undefined; chunk = this.#kept.shift()) {
      this.#reader?.read(chunk);
      if (this.isPaused) return;
    }
  }

  send(chunk: Uint8Array): void {
    if (this.isPaused) this.#kept.push(chunk);
    else this.#reader?.read(chunk);
  }
}

type OnMessage = (reader: MessageReader, message: Uint8Array | Skipped) => void;

function start({ partials = new PartialMessages(new ManualClock()), onMessage }: { partials?: PartialMessages; onMessage?: OnMessage } = {}) {
  const read: (Uint8Array | Skipped)[] = [];
  const stream = new PausableStream();
  const reader: MessageReader = new MessageReader(stream, partials, (message) => {
    read.push(typeof message === "string" ? message : Uint8Array.from(message));
    onMessage?.(reader, message);
  });
  stream.readBy(reader);
  return { read, stream, reader, partials };
}

function compressed(message: Uint8Array): Buffer {
  const bytes = framed(message);
  bytes[0] = 1;
  return bytes;
}

/** Bytes in pieces that end at the cuts. */
function cutAt(bytes: Uint8Array, cuts: readonly number[]): readonly Uint8Array[] {
  const ends = [...new Set(cuts.map((cut) => cut % (bytes.length + 1))), bytes.length].sort((a, b) => a - b);
  return ends.map((end, index) => bytes.subarray(index === 0 ? 0 : ends[index - 1], end)).filter(({ length }) => length > 0);
}

const sent = fc.oneof(
  { weight: 6, arbitrary: fc.uint8Array({ maxLength: 600 }).map((bytes) => ({ bytes: framed(bytes), read: Uint8Array.from(bytes) })) },
  fc.uint8Array({ maxLength: 40 }).map((bytes) => ({ bytes: compressed(bytes), read: "compressed" as const })),
  fc
    .integer({ min: LARGEST_WATCH_REQUEST + 1, max: LARGEST_WATCH_REQUEST + 50 })
    .map((size) => ({ bytes: framed(Buffer.alloc(size)), read: "too large" as const })),
);

describe("message reader", () => {
  it("M1: messages that are cut anywhere come out whole, in their order, the next one when the one before was dealt with", () => {
    fc.assert(
      fc.property(
        fc.array(sent, { minLength: 1, maxLength: 12 }),
        fc.array(fc.nat(), { maxLength: 30 }),
        fc.array(fc.boolean()),
        (all, cuts, pauses) => {
          const { read, stream, reader, partials } = start();
          let dealt = 0;
          const deal = () => {
            assert.ok(read.length <= dealt + 1, "a message came before the one before was dealt with");
            if (read.length === dealt) return false;
            dealt++;
            reader.next();
            return true;
          };
          for (const [index, piece] of cutAt(Buffer.concat(all.map(({ bytes }) => bytes)), cuts).entries()) {
            stream.send(piece);
            if (pauses[index] !== true) while (deal());
          }
          while (deal());
          assert.deepEqual(
            read,
            all.map((one) => one.read),
          );
          assert.deepEqual([partials.held, stream.isPaused], [0, false]);
        },
      ),
      { numRuns: 300 },
    );
  });

  it("M1: while a message is dealt with the stream is paused, and one chunk is kept here at most", () => {
    const { read, stream, reader } = start();
    stream.send(framed(Buffer.from("one")));
    assert.ok(!stream.isPaused);
    stream.send(framed(Buffer.from("two")));
    stream.send(framed(Buffer.from("three")));
    assert.deepEqual([read.length, stream.isPaused], [1, true]);
    reader.next();
    assert.deepEqual([read.length, stream.isPaused], [2, true]);
    reader.next();
    assert.equal(read.length, 3);
    reader.next();
    assert.ok(!stream.isPaused);
  });

  it("a message that is dealt with at once has the next one follow, however many came together", () => {
    const { read, stream } = start({ onMessage: (reader) => reader.next() });
    stream.send(Buffer.concat(Array.from({ length: 20_000 }, () => framed(Buffer.from("x")))));
    assert.deepEqual([read.length, stream.isPaused], [20_000, false]); // a call within the other for each would be too deep
  });

  it("M2: a message that is compressed or too large is skipped, empty ones too, and one of the largest size is read", () => {
    const { read, stream, reader } = start();
    const largest = Buffer.alloc(LARGEST_WATCH_REQUEST, 7);
    for (const bytes of [
      compressed(Buffer.from("x")),
      compressed(Buffer.alloc(0)),
      framed(largest),
      framed(Buffer.alloc(LARGEST_WATCH_REQUEST + 1)),
    ]) {
      stream.send(bytes);
      reader.next();
    }
    assert.deepEqual(read, ["compressed", "compressed", Uint8Array.from(largest), "too large"]);
  });

  it("M2: a message is skipped only when its last byte has come, and holds nothing until then", () => {
    const { read, stream, partials } = start();
    const bytes = framed(Buffer.alloc(LARGEST_WATCH_REQUEST + 1));
    stream.send(bytes.subarray(0, -1));
    assert.deepEqual([read, partials.held], [[], 0]);
    stream.send(bytes.subarray(-1));
    assert.deepEqual(read, ["too large"]);
  });

  it("M2: a message in pieces is skipped where messages of other streams have all the room, and there is room when those have ended", () => {
    const partials = new PartialMessages(new ManualClock(), 1000);
    const first = start({ partials });
    const second = start({ partials });
    const bytes = framed(Buffer.alloc(900, 1));
    first.stream.send(bytes.subarray(0, 600));
    assert.equal(partials.held, 900);
    second.stream.send(bytes.subarray(0, 300));
    second.stream.send(bytes.subarray(300));
    assert.deepEqual(second.read, ["no room"]);
    second.reader.next();
    first.stream.send(bytes.subarray(600));
    assert.equal(first.read[0]?.length, 900);
    assert.equal(partials.held, 0);
    second.stream.send(bytes.subarray(0, 300));
    second.stream.send(bytes.subarray(300));
    assert.equal(second.read[1]?.length, 900);
  });

  it("M2: a message that takes too long is skipped, and makes room for another before its own last byte", async () => {
    const clock = new ManualClock();
    const partials = new PartialMessages(clock, 1000);
    const slow = start({ partials });
    const quick = start({ partials });
    const bytes = framed(Buffer.alloc(900, 1));
    slow.stream.send(bytes.subarray(0, 600));
    await clock.advance(PARTIAL_MS - 1);
    slow.stream.send(bytes.subarray(600, 601));
    assert.equal(partials.held, 900);
    await clock.advance(1);
    quick.stream.send(bytes.subarray(0, 500));
    quick.stream.send(bytes.subarray(500));
    assert.equal(quick.read[0]?.length, 900);
    slow.stream.send(bytes.subarray(601));
    assert.deepEqual(slow.read, ["no room"]);
    slow.reader.next();
    slow.stream.send(bytes);
    assert.equal(slow.read[1]?.length, 900);
  });

  it("M2: a message that nobody else needs the room of is skipped as well when it takes too long", async () => {
    const clock = new ManualClock();
    const { read, stream, partials } = start({ partials: new PartialMessages(clock) });
    const bytes = framed(Buffer.alloc(900, 1));
    stream.send(bytes.subarray(0, 600));
    await clock.advance(PARTIAL_MS);
    stream.send(bytes.subarray(600));
    assert.deepEqual([read, partials.held], [["no room"], 0]);
  });

  it("M3: a length that is only announced takes no room, however many streams announce one", () => {
    const partials = new PartialMessages(new ManualClock());
    const bytes = framed(Buffer.alloc(LARGEST_WATCH_REQUEST, 1));
    const streams = Array.from({ length: (2 * PARTIAL_BYTES) / LARGEST_WATCH_REQUEST }, () => start({ partials }).stream);
    for (const stream of streams) stream.send(bytes.subarray(0, 6));
    assert.ok(partials.held <= 256 * streams.length, `${partials.held} bytes are held for ${streams.length} that came`);
    const { read, stream } = start({ partials });
    stream.send(bytes.subarray(0, 100));
    stream.send(bytes.subarray(100));
    assert.equal(read[0]?.length, LARGEST_WATCH_REQUEST);
  });

  it("all messages that came in part hold no more than their room", () => {
    const partials = new PartialMessages(new ManualClock(), 200_000);
    const bytes = framed(Buffer.alloc(LARGEST_WATCH_REQUEST, 1));
    for (let index = 0; index < 20; index++) {
      const { stream } = start({ partials });
      for (let at = 0; at < 60_000; at += 5000) {
        stream.send(bytes.subarray(at, at + 5000));
        assert.ok(partials.held <= 200_000, `${partials.held} bytes are held`);
      }
    }
    assert.ok(partials.held > 100_000);
  });

  for (const how of ["end", "close"] as const) {
    it(`a stream that has its ${how} while a message is there in part holds nothing any more`, () => {
      const { read, stream, reader, partials } = start();
      stream.send(framed(Buffer.alloc(900)).subarray(0, 600));
      assert.ok(partials.held > 0);
      reader[how]();
      assert.deepEqual([partials.held, read], [0, []]);
    });
  }

  it("a stream that was closed while a message was dealt with is read on, and nothing of it is passed on", () => {
    const { read, stream, reader } = start();
    stream.send(Buffer.concat([framed(Buffer.from("one")), framed(Buffer.from("two"))]));
    assert.ok(stream.isPaused);
    reader.close();
    assert.ok(!stream.isPaused);
    reader.next();
    stream.send(framed(Buffer.from("three")));
    assert.equal(read.length, 1);
  });

  it("the messages that wait when their stream has its end are read", () => {
    const { read, stream, reader } = start();
    stream.send(Buffer.concat(["one", "two", "three"].map((text) => framed(Buffer.from(text)))));
    reader.end();
    reader.next();
    reader.next();
    assert.deepEqual(
      read.map((message) => Buffer.from(message).toString()),
      ["one", "two", "three"],
    );
  });

  it("a message that drips in single bytes is copied a few times in all, of any size", () => {
    const { read, stream, partials } = start();
    const bytes = framed(Buffer.alloc(LARGEST_WATCH_REQUEST, 1));
    let copied = 0;
    let before = 0;
    for (let at = 0; at < bytes.length; at++) {
      stream.send(bytes.subarray(at, at + 1));
      if (partials.held > before) copied += before;
      before = partials.held;
    }
    assert.equal(read[0]?.length, LARGEST_WATCH_REQUEST);
    assert.ok(copied > 0 && copied < 2 * LARGEST_WATCH_REQUEST, `${copied} bytes were copied`);
  });

  it("many messages that came in one piece are copied once", () => {
    const buffers = new Set<ArrayBufferLike>();
    const { read, stream, reader } = start({ onMessage: (_, message) => typeof message !== "string" && buffers.add(message.buffer) });
    stream.send(Buffer.concat(Array.from({ length: 2000 }, () => framed(Buffer.alloc(100)))));
    for (let index = 0; index < 2000; index++) reader.next();
    assert.equal(read.length, 2000);
    assert.equal(buffers.size, 2); // that of the stream, and one for those that waited
  });
});
