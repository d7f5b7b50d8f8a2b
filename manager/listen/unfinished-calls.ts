/**
 * Ends calls that hold memory: whose request is not complete in time, whose answer nobody reads, or whose request is one too many of large ones.
 *
 * The diagnostics channel `http2.server.stream.start` shows every stream of HTTP/2 (raw-streams.ts tells more of it). Where it fails nothing is ended.
 *
 * U1: only streams of this server's own connections are looked at.
 * U2: a stream of answers whose request is complete is not looked at any more: it may be quiet for months, and the watch has limits of its own.
 * U3: what the requests of all open calls hold is bounded; small ones always pass.
 * U4: there is no timer per call: one loop looks at those that are open, which are few, or new.
 */
import { channel } from "node:diagnostics_channel";
import { constants, type ServerHttp2Stream } from "node:http2";
import type { Clock } from "../../common/clock/clock.ts";

const STREAM_STARTS = "http2.server.stream.start";
const { NGHTTP2_ENHANCE_YOUR_CALM, NGHTTP2_STREAM_STATE_OPEN, NGHTTP2_STREAM_STATE_HALF_CLOSED_LOCAL } = constants;

/** How long a request may take to be complete, and an answer to be read. Milliseconds. */
export const REQUEST_MS = 60_000;

/** What the requests of all open calls may hold, bytes, and what one may hold where they do already. */
export const HELD_BYTES = { inAll: 256 * 1024 * 1024, small: 16 * 1024 } as const;

const LOOK_EVERY_MS = 2500;

type Open = {
  readonly since: number;
  /** A stream of answers follows the request. */
  readonly streaming: boolean;
  /** Bytes of the request. */
  held: number;
  /** Since when the answer is complete, and waits for its reader. */
  answered: number | undefined;
};

type Stream = Pick<ServerHttp2Stream, "on" | "off" | "close" | "state" | "writableEnded" | "session">;

export type UnfinishedCallsOptions = Readonly<{
  /** Whether a connection is one of this server's (U1). */
  isOwn: (peer: string) => boolean;
  /** Paths of the methods that answer with streams (U2). */
  streaming: ReadonlySet<string>;
  clock: Clock;
  heldBytes?: Readonly<{ inAll: number; small: number }>;
}>;

export class UnfinishedCalls implements Disposable {
  readonly #options: UnfinishedCallsOptions;
  readonly #open = new Map<Stream, Open>();
  readonly #onStart = (message: unknown) => this.#add(message);
  /** One listener for all streams, of each sort. */
  readonly #onClose: (this: Stream) => void;
  readonly #onData: (this: Stream, chunk: Uint8Array) => void;
  #held = 0;

  constructor(options: UnfinishedCallsOptions) {
    this.#options = options;
    const forget = (stream: Stream) => this.#forget(stream);
    this.#onClose = function () {
      forget(this);
    };
    const hold = (stream: Stream, bytes: number) => this.#hold(stream, bytes);
    this.#onData = function (chunk) {
      hold(this, chunk.length);
    };
    channel(STREAM_STARTS).subscribe(this.#onStart);
  }

  /** Calls that are looked at. */
  get size(): number {
    return this.#open.size;
  }

  /** Until the signal is aborted. */
  async watch(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await this.#options.clock.sleep(LOOK_EVERY_MS, signal).catch(() => {});
      if (!signal.aborted) this.endLate();
    }
  }

  /** Ends those whose time is up. */
  endLate(): void {
    const now = this.#options.clock.monotonic();
    for (const [stream, call] of this.#open) {
      if (!isRequestComplete(stream)) {
        if (now - call.since >= REQUEST_MS) stream.close(NGHTTP2_ENHANCE_YOUR_CALM);
      } else if (call.streaming) this.#forget(stream);
      else if (stream.writableEnded) {
        call.answered ??= now;
        if (now - call.answered >= REQUEST_MS) stream.close(NGHTTP2_ENHANCE_YOUR_CALM);
      }
    }
  }

  #add(message: unknown): void {
    if (!isStart(message)) return;
    const { stream, headers } = message;
    const { remoteAddress, remotePort } = stream.session?.socket ?? {};
    if (!this.#options.isOwn(`${remoteAddress}:${remotePort}`)) return; // U1
    this.#open.set(stream, {
      since: this.#options.clock.monotonic(),
      streaming: this.#options.streaming.has(String(headers[":path"])),
      held: 0,
      answered: undefined,
    });
    stream.on("close", this.#onClose);
    stream.on("data", this.#onData); // gRPC, which comes next, decides when it flows
  }

  #hold(stream: Stream, bytes: number): void {
    const call = this.#open.get(stream);
    if (call === undefined) return;
    call.held += bytes;
    this.#held += bytes;
    const { inAll, small } = this.#options.heldBytes ?? HELD_BYTES;
    if (this.#held > inAll && call.held > small) stream.close(NGHTTP2_ENHANCE_YOUR_CALM); // U3
  }

  #forget(stream: Stream): void {
    this.#held -= this.#open.get(stream)?.held ?? 0;
    this.#open.delete(stream);
    stream.off("close", this.#onClose);
    stream.off("data", this.#onData);
  }

  [Symbol.dispose](): void {
    channel(STREAM_STARTS).unsubscribe(this.#onStart);
    this.#open.clear();
  }
}

/** Whether nothing more of the request is to come. */
function isRequestComplete({ state }: Stream): boolean {
  return state.state !== NGHTTP2_STREAM_STATE_OPEN && state.state !== NGHTTP2_STREAM_STATE_HALF_CLOSED_LOCAL;
}

function isStart(message: unknown): message is { stream: Stream; headers: Record<string, unknown> } {
  if (typeof message !== "object" || message === null || !("stream" in message) || !("headers" in message)) return false;
  const { stream, headers } = message;
  return typeof stream === "object" && stream !== null && "session" in stream && typeof headers === "object" && headers !== null;
}
