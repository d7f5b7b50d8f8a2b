/**
 * Finds the HTTP/2 stream below a gRPC call: a config that is framed once and written there is not copied for every device, which grpc-js would do.
 *
 * The diagnostics channel `http2.server.stream.start` shows every stream and its headers before grpc-js sees them. A header with a name that nobody
 * can guess is put in, under which the call's metadata then names the stream. Where that fails (the channel is of stability 1, experimental) there is
 * no such header, `take` answers undefined, and configs go the plain way.
 *
 * X1 A stream is kept from its start until its call asks for it; one whose call never comes goes once it is closed.
 */
import { randomBytes } from "node:crypto";
import { channel } from "node:diagnostics_channel";
import type { ServerHttp2Stream } from "node:http2";
import type { Metadata } from "@grpc/grpc-js";

const STREAM_STARTS = "http2.server.stream.start";
/** Streams that wait for their call before the closed ones among them are looked for. */
const SWEEP_AT = 1024;

/** What a watch writes its configs to. */
export type RawStream = Pick<ServerHttp2Stream, "write" | "destroyed" | "closed">;

export class RawStreams implements Disposable {
  readonly #path: string;
  readonly #header = `raw-${randomBytes(8).toString("hex")}`;
  readonly #waiting = new Map<string, RawStream>();
  #count = 0;
  #sweepAt = SWEEP_AT;
  readonly #onStart = (message: unknown) => this.#add(message);

  /** @param path gRPC path of the calls whose streams are wanted */
  constructor(path: string) {
    this.#path = path;
    channel(STREAM_STARTS).subscribe(this.#onStart);
  }

  #add(message: unknown): void {
    if (!isStart(message) || message.headers[":path"] !== this.#path) return;
    const id = String(++this.#count);
    message.headers[this.#header] = id;
    this.#waiting.set(id, message.stream);
    if (this.#waiting.size < this.#sweepAt) return;
    for (const [waiting, stream] of this.#waiting) if (stream.destroyed) this.#waiting.delete(waiting); // X1
    this.#sweepAt = Math.max(SWEEP_AT, 2 * this.#waiting.size);
  }

  /** The stream of a call, once; undefined: write the plain way. */
  take(metadata: Metadata): RawStream | undefined {
    const [id] = metadata.get(this.#header);
    if (typeof id !== "string") return undefined;
    const stream = this.#waiting.get(id);
    this.#waiting.delete(id); // X1
    return stream;
  }

  /** Streams whose calls have not asked for them. */
  get waiting(): number {
    return this.#waiting.size;
  }

  [Symbol.dispose](): void {
    channel(STREAM_STARTS).unsubscribe(this.#onStart);
    this.#waiting.clear();
  }
}

type Start = { stream: RawStream; headers: Record<string, unknown> };

function isStart(message: unknown): message is Start {
  if (typeof message !== "object" || message === null || !("stream" in message) || !("headers" in message)) return false;
  const { stream, headers } = message;
  return typeof stream === "object" && stream !== null && "write" in stream && typeof headers === "object" && headers !== null;
}
