/**
 * Messages of gRPC in a stream of HTTP/2 that stays open, one at a time: grpc-js keeps what came of a message for as long as its peer likes, and takes several
 * promises for each (https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md says how messages are framed).
 *
 * M1 A message is passed on when it is whole, the next one not before `next` is called: bytes that come meanwhile wait in HTTP/2, whose window is full soon.
 * M2 A message above LARGEST, one that is compressed, and one that came in pieces for which there is no room, or for too long, is skipped, which is
 *    passed on when its last byte has come.
 */
import type { Clock } from "../../common/clock/clock.ts";

/** The largest message that is read, bytes. */
export const LARGEST_MESSAGE = 64 * 1024;
/** Bytes that messages of all streams may hold which have come in part. */
export const PARTIAL_BYTES = 16 * 1024 * 1024;
/** How long a message may take from its first byte to its last, milliseconds. */
export const PARTIAL_MS = 30_000;
/** Bytes before each message: whether it is compressed, and its length. */
const PREFIX = 5;

/** The part of a stream that is read. */
export type ReadStream = { pause(): unknown; resume(): unknown };

/** A message that has come in part: `at` bytes of it, its prefix included. */
type Partial = { readonly bytes: Buffer; at: number; readonly since: number };

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

  /** Room for a message; undefined: there is none. One whose time is over makes room for another. */
  open(length: number): Partial | undefined {
    const now = this.#clock.monotonic();
    for (const partial of this.#open) {
      if (now - partial.since < PARTIAL_MS) break;
      this.close(partial);
    }
    if (this.#bytes + length > this.#most) return undefined;
    const partial = { bytes: Buffer.allocUnsafeSlow(length), at: 0, since: now };
    this.#open.add(partial);
    this.#bytes += length;
    return partial;
  }

  /** Whether a message may still be read to its end. */
  has(partial: Partial): boolean {
    return this.#open.has(partial);
  }

  close(partial: Partial): void {
    if (this.#open.delete(partial)) this.#bytes -= partial.bytes.length;
  }
}

export class MessageReader {
  readonly #stream: ReadStream;
  readonly #partials: PartialMessages;
  readonly #onMessage: (message: Uint8Array | undefined) => void;
  #isBusy = false;
  /** Bytes that came while a message was dealt with. */
  #waiting: Uint8Array | undefined;
  /** The prefix of a message as far as it has come, where that is not whole. */
  #prefix: Uint8Array | undefined;
  #partial: Partial | undefined;
  /** Bytes of a message that are still to skip. */
  #toSkip = 0;

  /** @param onMessage called with each message without its prefix; undefined: one that was skipped (M2). The bytes are those of the stream. */
  constructor(stream: ReadStream, partials: PartialMessages, onMessage: (message: Uint8Array | undefined) => void) {
    this.#stream = stream;
    this.#partials = partials;
    this.#onMessage = onMessage;
  }

  /** Takes what came on the stream. */
  read(chunk: Uint8Array): void {
    let at = 0;
    while (at < chunk.length) {
      if (this.#isBusy) {
        this.#stream.pause(); // M1
        const rest = chunk.subarray(at);
        this.#waiting = this.#waiting === undefined ? Buffer.from(rest) : Buffer.concat([this.#waiting, rest]);
        return;
      }
      at = this.#readMessage(chunk, at);
    }
  }

  /** Reads on: the message that was passed on last was dealt with. */
  next(): void {
    this.#isBusy = false;
    const waiting = this.#waiting;
    if (waiting === undefined) return;
    this.#waiting = undefined;
    this.read(waiting);
    if (this.#waiting === undefined) this.#stream.resume();
  }

  /** The stream has ended. */
  end(): void {
    if (this.#partial !== undefined) this.#partials.close(this.#partial);
    this.#partial = undefined;
    this.#waiting = undefined;
  }

  /** Reads on in one message, and returns how far. */
  #readMessage(chunk: Uint8Array, from: number): number {
    if (this.#toSkip > 0) return this.#skip(chunk, from);
    if (this.#partial !== undefined) return this.#continue(this.#partial, chunk, from);
    const missing = PREFIX - (this.#prefix?.length ?? 0);
    const head = chunk.subarray(from, from + missing);
    const prefix = this.#prefix === undefined ? head : Buffer.concat([this.#prefix, head]);
    this.#prefix = undefined;
    if (prefix.length < PREFIX) {
      this.#prefix = Buffer.from(prefix);
      return chunk.length;
    }
    return this.#begin(prefix, chunk, from + missing);
  }

  #begin(prefix: Uint8Array, chunk: Uint8Array, from: number): number {
    const view = new DataView(prefix.buffer, prefix.byteOffset, PREFIX);
    const length = view.getUint32(1);
    const end = from + length;
    if (view.getUint8(0) !== 0 || length > LARGEST_MESSAGE)
      this.#toSkip = length; // M2
    else if (end <= chunk.length) {
      this.#tell(chunk.subarray(from, end));
      return end;
    } else {
      this.#partial = this.#partials.open(length);
      if (this.#partial === undefined) this.#toSkip = length; // M2
    }
    if (length === 0) this.#tell(undefined);
    return from;
  }

  #continue(partial: Partial, chunk: Uint8Array, from: number): number {
    const taken = chunk.subarray(from, from + partial.bytes.length - partial.at);
    partial.bytes.set(taken, partial.at);
    partial.at += taken.length;
    const isKept = this.#partials.has(partial);
    if (partial.at === partial.bytes.length) {
      this.#partials.close(partial);
      this.#partial = undefined;
      this.#tell(isKept ? partial.bytes : undefined);
    } else if (!isKept) {
      this.#toSkip = partial.bytes.length - partial.at; // M2
      this.#partial = undefined;
    }
    return from + taken.length;
  }

  #skip(chunk: Uint8Array, from: number): number {
    const skipped = Math.min(this.#toSkip, chunk.length - from);
    this.#toSkip -= skipped;
    if (this.#toSkip === 0) this.#tell(undefined);
    return from + skipped;
  }

  #tell(message: Uint8Array | undefined): void {
    this.#isBusy = true;
    this.#onMessage(message);
  }
}
