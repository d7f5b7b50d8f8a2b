/**
 * Messages of gRPC in a stream of HTTP/2 that stays open, one at a time: grpc-js keeps what came of a message for as long as its peer likes, and takes several
 * promises for each (https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md says how messages are framed).
 *
 * M1 A message is passed on when it is whole, the next one not before `next` is called: bytes that come meanwhile wait in HTTP/2, whose window is full soon.
 * M2 A message above LARGEST_WATCH_REQUEST, one that is compressed, and one that came in pieces for which there is no room, or for too long, is skipped, which is
 *    passed on when its last byte has come.
 * M3 A message that came in part holds at most twice the bytes of it that came, and SMALLEST_PARTIAL: the length that it announces costs nothing.
 */

import type { Clock } from "../../common/clock/clock.ts";
import { LARGEST_WATCH_REQUEST } from "../../common/config/watch-features.ts";

/** Bytes that messages of all streams may hold which have come in part. */
export const PARTIAL_BYTES = 16 * 1024 * 1024;
/** How long a message may take from its first byte to its last, milliseconds. */
export const PARTIAL_MS = 30_000;
/** Bytes that a message holds at least which has come in part. */
const SMALLEST_PARTIAL = 256;
/** Bytes before each message: whether it is compressed, and its length. */
const PREFIX = 5;

/** The part of a stream that is read. */
export type ReadStream = { pause(): unknown; resume(): unknown };

/** Why a message was skipped (M2). */
export type Skipped = "too large" | "compressed" | "no room";

/** A message that has come in part: the first `at` of its bytes, of which there are `length`. */
type Partial = { bytes: Buffer; at: number; readonly length: number; readonly since: number };

/** The messages that have come in part, of all streams of a process. */
export class PartialMessages {
  readonly #clock: Pick<Clock, "monotonic">;
  readonly #most: number;
  /** Oldest first. */
  readonly #open = new Set<Partial>();
  #bytes = 0;

  constructor(clock: Pick<Clock, "monotonic">, most = PARTIAL_BYTES) {
    this.#clock = clock;
    this.#most = most;
  }

  /** Bytes that they hold. */
  get held(): number {
    return this.#bytes;
  }

  /** Begins a message of this many bytes; one whose time is over makes room for another. */
  open(length: number): Partial {
    const now = this.#clock.monotonic();
    for (const partial of this.#open) {
      if (now - partial.since < PARTIAL_MS) break;
      this.close(partial);
    }
    const partial = { bytes: Buffer.alloc(0), at: 0, length, since: now };
    this.#open.add(partial);
    return partial;
  }

  /** Keeps one more piece of a message, and returns whether it did: without room, or out of its time, a message is closed. */
  add(partial: Partial, piece: Uint8Array): boolean {
    if (!this.#open.has(partial)) return false;
    const needed = partial.at + piece.length;
    if (this.#clock.monotonic() - partial.since >= PARTIAL_MS || !this.#grow(partial, needed)) {
      this.close(partial);
      return false;
    }
    partial.bytes.set(piece, partial.at);
    partial.at = needed;
    return true;
  }

  /** M3 */
  #grow(partial: Partial, needed: number): boolean {
    const { bytes, at, length } = partial;
    if (needed <= bytes.length) return true;
    const capacity = Math.min(length, Math.max(SMALLEST_PARTIAL, 2 * needed));
    const more = capacity - bytes.length;
    if (this.#bytes + more > this.#most) return false;
    this.#bytes += more;
    partial.bytes = Buffer.allocUnsafeSlow(capacity);
    partial.bytes.set(bytes.subarray(0, at));
    return true;
  }

  close(partial: Partial): void {
    if (this.#open.delete(partial)) this.#bytes -= partial.bytes.length;
  }
}

export class MessageReader {
  readonly #stream: ReadStream;
  readonly #partials: PartialMessages;
  readonly #onMessage: (message: Uint8Array | Skipped) => void;
  #isBusy = false;
  #isPaused = false;
  #isClosed = false;
  /** Bytes that came while a message was dealt with. */
  #waiting: Uint8Array | undefined;
  /** Bytes of the prefix of a message that have come, and what they say. */
  #prefixAt = 0;
  #isCompressed = false;
  #length = 0;
  #partial: Partial | undefined;
  /** Bytes of a message that are still to skip, and why. */
  #toSkip = 0;
  #why: Skipped = "no room";

  /** @param onMessage called with each message without its prefix, or with why it was skipped (M2). The bytes are those of the stream. */
  constructor(stream: ReadStream, partials: PartialMessages, onMessage: (message: Uint8Array | Skipped) => void) {
    this.#stream = stream;
    this.#partials = partials;
    this.#onMessage = onMessage;
  }

  /** Takes what came on the stream. */
  read(chunk: Uint8Array): void {
    if (!this.#isClosed) this.#consume(chunk, false);
  }

  /** Reads on: the message that was passed on last was dealt with. */
  next(): void {
    if (this.#isClosed) return;
    this.#isBusy = false;
    const waiting = this.#waiting;
    this.#waiting = undefined;
    if (waiting !== undefined) this.#consume(waiting, true);
    if (!this.#isBusy) this.#resume();
  }

  /** No more bytes come: a message that came in part is dropped, those that wait are not. */
  end(): void {
    if (this.#partial !== undefined) this.#partials.close(this.#partial);
    this.#partial = undefined;
  }

  /** Passes nothing on any more, and drops what comes. */
  close(): void {
    this.end();
    this.#isClosed = true;
    this.#waiting = undefined;
    this.#resume();
  }

  #resume(): void {
    if (!this.#isPaused) return;
    this.#isPaused = false;
    this.#stream.resume();
  }

  /** @param isOwn whether the bytes are kept here already: those of a stream are part of more, which they would keep */
  #consume(chunk: Uint8Array, isOwn: boolean): void {
    let at = 0;
    while (at < chunk.length && !this.#isBusy && !this.#isClosed) at = this.#readMessage(chunk, at);
    if (at === chunk.length || this.#isClosed) return;
    this.#isPaused = true;
    this.#stream.pause(); // M1
    const rest = isOwn ? chunk.subarray(at) : Buffer.from(chunk.subarray(at));
    this.#waiting = this.#waiting === undefined ? rest : Buffer.concat([this.#waiting, rest]);
  }

  /** Reads on in one message, and returns how far. */
  #readMessage(chunk: Uint8Array, from: number): number {
    if (this.#toSkip > 0) return this.#skip(chunk, from);
    if (this.#partial !== undefined) return this.#continue(this.#partial, chunk, from);
    let at = from;
    for (; at < chunk.length && this.#prefixAt < PREFIX; at++) {
      const byte = chunk[at] ?? 0;
      if (this.#prefixAt++ === 0) {
        this.#isCompressed = byte !== 0;
        this.#length = 0;
      } else this.#length = this.#length * 256 + byte;
    }
    return this.#prefixAt < PREFIX ? at : this.#begin(chunk, at);
  }

  #begin(chunk: Uint8Array, from: number): number {
    this.#prefixAt = 0;
    const length = this.#length;
    const end = from + length;
    if (this.#isCompressed || length > LARGEST_WATCH_REQUEST) {
      this.#toSkip = length;
      this.#why = this.#isCompressed ? "compressed" : "too large";
      if (length === 0) this.#tell(this.#why);
      return from;
    }
    if (end > chunk.length) {
      this.#partial = this.#partials.open(length);
      return from;
    }
    this.#tell(chunk.subarray(from, end));
    return end;
  }

  #continue(partial: Partial, chunk: Uint8Array, from: number): number {
    const piece = chunk.subarray(from, from + partial.length - partial.at);
    if (!this.#partials.add(partial, piece)) {
      this.#partial = undefined;
      this.#toSkip = partial.length - partial.at;
      this.#why = "no room";
      return from;
    }
    if (partial.at === partial.length) {
      this.#partials.close(partial);
      this.#partial = undefined;
      this.#tell(partial.bytes);
    }
    return from + piece.length;
  }

  #skip(chunk: Uint8Array, from: number): number {
    const skipped = Math.min(this.#toSkip, chunk.length - from);
    this.#toSkip -= skipped;
    if (this.#toSkip === 0) this.#tell(this.#why);
    return from + skipped;
  }

  #tell(message: Uint8Array | Skipped): void {
    this.#isBusy = true;
    this.#onMessage(message);
  }
}
