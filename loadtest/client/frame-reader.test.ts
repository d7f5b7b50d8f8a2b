import { strict as assert } from "node:assert";
import fc from "fast-check";
import { FrameReader } from "./frame-reader.ts";
import { FRAME, frame, grpcMessage, PING, pingAck, SETTINGS_ACK } from "./h2-frames.ts";

const WATCH = 1;
const END_STREAM = 0x1;

/** Something that a server may send, and what a reader has to tell of it. */
type Sent =
  | { kind: "message"; bytes: number; cutAt: number }
  | { kind: "answer"; withData: boolean }
  | { kind: "settings" }
  | { kind: "settings ack" }
  | { kind: "ping"; payload: Uint8Array }
  | { kind: "pong" }
  | { kind: "window update" }
  | { kind: "reset" }
  | { kind: "goaway" };

const sent: fc.Arbitrary<Sent> = fc.oneof(
  { weight: 3, arbitrary: fc.record({ kind: fc.constant("message" as const), bytes: fc.nat(300), cutAt: fc.nat(305) }) },
  fc.record({ kind: fc.constant("answer" as const), withData: fc.boolean() }),
  fc.record({ kind: fc.constant("ping" as const), payload: fc.uint8Array({ minLength: 8, maxLength: 8 }) }),
  fc.record({
    kind: fc.constantFrom(
      "settings" as const,
      "settings ack" as const,
      "pong" as const,
      "window update" as const,
      "reset" as const,
      "goaway" as const,
    ),
  }),
);

/** Bytes of which no two in a row are the same. */
function bodyOf(bytes: number): Uint8Array {
  return new Uint8Array(bytes).map((_, index) => index);
}

function encode(word: Sent, stream: number): Uint8Array[] {
  switch (word.kind) {
    case "message": {
      const message = grpcMessage(bodyOf(word.bytes));
      const cut = Math.min(word.cutAt, message.length); // a message may be in two frames
      return [frame(FRAME.data, 0, WATCH, message.subarray(0, cut)), frame(FRAME.data, 0, WATCH, message.subarray(cut))];
    }
    case "answer": {
      const data = word.withData ? [frame(FRAME.data, 0, stream, grpcMessage(new Uint8Array(2)))] : [];
      return [...data, frame(FRAME.headers, END_STREAM, stream, new Uint8Array(20))];
    }
    case "settings":
      return [frame(FRAME.settings, 0, 0, new Uint8Array(12))];
    case "settings ack":
      return [SETTINGS_ACK];
    case "ping":
      return [frame(FRAME.ping, 0, 0, word.payload)];
    case "pong":
      return [pingAck(new Uint8Array(8))];
    case "window update":
      return [frame(FRAME.windowUpdate, 0, 0, new Uint8Array(4))];
    case "reset":
      return [frame(FRAME.rstStream, 0, stream, new Uint8Array(4))];
    case "goaway":
      return [frame(FRAME.goaway, 0, 0, new Uint8Array(8))];
  }
}

function told(word: Sent, stream: number): string[] {
  switch (word.kind) {
    case "message":
      return [`message ${word.bytes} ${Buffer.from(bodyOf(word.bytes)).toString("hex")}`];
    case "answer":
      return [`end ${stream} ${word.withData}`];
    case "settings":
    case "pong":
      return [word.kind];
    case "ping":
      return [`ping ${Buffer.from(word.payload).toString("hex")}`];
    case "reset":
      return [`end ${stream} false`];
    case "goaway":
      return ["end 0 false"];
    case "settings ack":
    case "window update":
      return [];
  }
}

function read(chunks: readonly Uint8Array[]): string[] {
  const words: string[] = [];
  let body = "";
  const reader = new FrameReader(
    {
      onBody(piece) {
        body += Buffer.from(piece).toString("hex");
      },
      onMessage(bytes) {
        words.push(`message ${bytes} ${body}`);
        body = "";
      },
      onSettings: () => words.push("settings"),
      onPing: (payload) => words.push(`ping ${Buffer.from(payload).toString("hex")}`),
      onPong: () => words.push("pong"),
      onEnd: (stream, withData) => words.push(`end ${stream} ${withData}`),
    },
    WATCH,
  );
  const buffer = Buffer.alloc(64 * 1024, 0xee);
  for (const chunk of chunks) {
    buffer.set(chunk);
    reader.read(buffer, chunk.length); // what is behind the chunk is not its own
  }
  return words;
}

function cut(bytes: Uint8Array, cuts: readonly number[]): Uint8Array[] {
  const places = [...new Set([0, ...cuts.map((place) => place % (bytes.length + 1)), bytes.length])].sort((a, b) => a - b);
  return places.slice(1).map((to, i) => bytes.subarray(places[i], to));
}

describe("FrameReader", () => {
  it("the reader reads the same of a stream of frames for any cuts of the chunks", () => {
    fc.assert(
      fc.property(fc.array(sent, { maxLength: 12 }), fc.array(fc.nat()), (words, cuts) => {
        const streams = words.map((_, i) => WATCH + 2 + 2 * i);
        const bytes = Buffer.concat(words.flatMap((word, i) => encode(word, streams[i] ?? 0)));
        const expected = words.flatMap((word, i) => told(word, streams[i] ?? 0));
        assert.deepEqual(read(cut(bytes, cuts)), expected);
      }),
    );
  });

  it("the reader reads byte by byte", () => {
    const bytes = Buffer.concat([PING, frame(FRAME.data, 0, WATCH, grpcMessage(new Uint8Array(70_000 - 5)).subarray(0, 16_384))]);
    assert.deepEqual(read([...bytes].map((byte) => Uint8Array.of(byte))), ["ping 0000000000000000"]);
  });

  it("the reader reports the watch's own end", () => {
    assert.deepEqual(read([frame(FRAME.headers, END_STREAM, WATCH, new Uint8Array(3))]), [`end ${WATCH} false`]);
  });
});
