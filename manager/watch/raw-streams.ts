/**
 * Finds the HTTP/2 stream below a gRPC call: a config that is framed once and written there is not copied for every device, which grpc-js would do.
 *
 * The diagnostics channel `http2.server.stream.start` shows every stream and its headers before grpc-js sees them. A header with a name that nobody
 * can guess is put in, under which the call's metadata then names the stream. Where that fails (the channel is of stability 1, experimental) there is
 * no such header, `take` answers undefined, and configs go the plain way.
 *
 * X1 At most KEPT streams wait for their calls. A call comes in the same turn as its stream; where more than KEPT start in one, the first go the plain way.
 */
import { randomBytes } from "node:crypto";
import { channel } from "node:diagnostics_channel";
import type { ServerHttp2Stream } from "node:http2";
import type { Metadata } from "@grpc/grpc-js";

const STREAM_STARTS = "http2.server.stream.start";
const KEPT = 256;

/** What a watch writes its configs to. */
export type RawStream = Pick<ServerHttp2Stream, "write" | "destroyed" | "closed"> & Partial<Pick<ServerHttp2Stream, "session">>;

export class RawStreams implements Disposable {
  readonly #path: string;
  readonly #header = `raw-${randomBytes(8).toString("hex")}`;
  /** By the last digits of their numbers. */
  readonly #waiting: ({ id: number; stream: RawStream } | undefined)[] = new Array(KEPT);
  #count = 0;
  readonly #onStart = (message: unknown) => this.#add(message);

  /** @param path gRPC path of the calls whose streams are wanted */
  constructor(path: string) {
    this.#path = path;
    channel(STREAM_STARTS).subscribe(this.#onStart);
  }

  #add(message: unknown): void {
    if (!isStart(message) || message.headers[":path"] !== this.#path) return;
    const id = ++this.#count;
    message.headers[this.#header] = String(id);
    this.#waiting[id % KEPT] = { id, stream: message.stream }; // X1
  }

  /** The stream of a call, once; undefined: write the plain way. */
  take(metadata: Metadata): RawStream | undefined {
    const [text] = metadata.get(this.#header);
    const id = Number(text);
    const waiting = this.#waiting[id % KEPT];
    if (waiting?.id !== id) return undefined;
    this.#waiting[id % KEPT] = undefined;
    return waiting.stream;
  }

  [Symbol.dispose](): void {
    channel(STREAM_STARTS).unsubscribe(this.#onStart);
    this.#waiting.fill(undefined);
  }
}

type Start = { stream: RawStream; headers: Record<string, unknown> };

function isStart(message: unknown): message is Start {
  if (typeof message !== "object" || message === null || !("stream" in message) || !("headers" in message)) return false;
  const { stream, headers } = message;
  return typeof stream === "object" && stream !== null && "write" in stream && typeof headers === "object" && headers !== null;
}
