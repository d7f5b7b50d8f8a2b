import { FRAME, FRAME_HEADER_BYTES, GRPC_PREFIX_BYTES, isAck, isEndOfStream, PING_BYTES } from "./h2-frames.ts";

/** The events that a reader reports to its connection. */
export interface FrameListener {
  /** A piece of a message on the watch's stream; its bytes are good until the call returns. */
  onBody?(piece: Uint8Array): void;
  /** A whole gRPC message of this many bytes (without its prefix) arrived on the watch's stream; `first`: its first byte, 0 where it is empty. */
  onMessage(bytes: number, first: number): void;
  onSettings(): void;
  /** The server pings; the eight bytes are good until the call returns. */
  onPing(payload: Uint8Array): void;
  onPong(): void;
  /** A stream ended (0: the connection); `withData` when it brought a message before, so that the answer is not an error alone. */
  onEnd(streamId: number, withData: boolean): void;
}

/**
 * Reads HTTP/2 frames out of chunks cut anywhere, and counts the gRPC messages in them, without keeping their bytes; a listener may.
 * Messages are counted on `messageStream` alone (the watch); of other streams only their end is reported.
 *
 * D1 Between two calls of `read` the state says exactly how far into which frame, and on the watch's stream into which message, the bytes went.
 * D2 No byte is looked at twice, and none but headers and pings one by one.
 */
export class FrameReader {
  readonly #listener: FrameListener;
  readonly #messageStream: number;
  /** The frame's header as far as it was read, then what it says. */
  readonly #header = Buffer.alloc(FRAME_HEADER_BYTES);
  #headerBytes = 0;
  #payloadLeft = 0;
  #type = 0;
  #flags = 0;
  #streamId = 0;
  /** The other stream that brought data last; calls beside a watch come one at a time. */
  #dataOn = 0;
  /** The message: bytes of its prefix that were read, its length, and what is left of it. */
  #prefixBytes = 0;
  #bodyLength = 0;
  #bodyLeft = 0;
  #bodyFirst = 0;
  #ping: Buffer | undefined;

  constructor(listener: FrameListener, messageStream: number) {
    this.#listener = listener;
    this.#messageStream = messageStream;
  }

  read(chunk: Uint8Array, length: number): void {
    let at = 0;
    while (at < length) {
      if (this.#headerBytes < FRAME_HEADER_BYTES) {
        this.#header[this.#headerBytes++] = chunk[at++] ?? 0;
        if (this.#headerBytes === FRAME_HEADER_BYTES) this.#startFrame();
        continue;
      }
      const end = at + Math.min(this.#payloadLeft, length - at);
      this.#readPayload(chunk, at, end);
      this.#payloadLeft -= end - at;
      at = end;
      if (this.#payloadLeft === 0) this.#endFrame();
    }
  }

  #startFrame(): void {
    this.#payloadLeft = this.#header.readUIntBE(0, 3);
    this.#type = this.#header[3] ?? 0;
    this.#flags = this.#header[4] ?? 0;
    this.#streamId = this.#header.readUInt32BE(5) & 0x7fffffff;
    if (this.#payloadLeft === 0) this.#endFrame();
  }

  #readPayload(chunk: Uint8Array, from: number, to: number): void {
    if (this.#type === FRAME.data) {
      if (this.#streamId === this.#messageStream) this.#readMessages(chunk, from, to);
      else this.#dataOn = this.#streamId;
    } else if (this.#type === FRAME.ping) {
      this.#ping ??= Buffer.alloc(PING_BYTES);
      this.#ping.set(chunk.subarray(from, to), PING_BYTES - this.#payloadLeft);
    }
  }

  #endFrame(): void {
    this.#headerBytes = 0;
    switch (this.#type) {
      case FRAME.settings:
        if (!isAck(this.#flags)) this.#listener.onSettings();
        return;
      case FRAME.ping:
        if (isAck(this.#flags)) this.#listener.onPong();
        else if (this.#ping !== undefined) this.#listener.onPing(this.#ping);
        return;
      case FRAME.goaway:
        this.#listener.onEnd(0, false);
        return;
      case FRAME.rstStream:
        this.#listener.onEnd(this.#streamId, false);
        return;
      case FRAME.headers:
      case FRAME.data:
        if (isEndOfStream(this.#flags)) this.#listener.onEnd(this.#streamId, this.#dataOn === this.#streamId);
        return;
    }
  }

  #readMessages(chunk: Uint8Array, from: number, to: number): void {
    let at = from;
    while (at < to) {
      if (this.#prefixBytes < GRPC_PREFIX_BYTES) {
        const byte = chunk[at++] ?? 0;
        if (this.#prefixBytes > 0) this.#bodyLength = this.#bodyLength * 256 + byte;
        if (++this.#prefixBytes < GRPC_PREFIX_BYTES) continue;
        this.#bodyLeft = this.#bodyLength;
      } else {
        const take = Math.min(this.#bodyLeft, to - at);
        if (this.#bodyLeft === this.#bodyLength) this.#bodyFirst = chunk[at] ?? 0;
        this.#listener.onBody?.(chunk.subarray(at, at + take));
        at += take;
        this.#bodyLeft -= take;
      }
      if (this.#bodyLeft === 0) this.#endMessage();
    }
  }

  #endMessage(): void {
    const [bytes, first] = [this.#bodyLength, this.#bodyFirst];
    this.#prefixBytes = 0;
    this.#bodyLength = 0;
    this.#bodyFirst = 0;
    this.#listener.onMessage(bytes, first);
  }
}
