/**
 * One WatchConfig call, taken over from grpc-js right above its HTTP/2 stream: the stream object that a handler would get costs 2 KB and 20 us per device, and
 * its writes copy every config for every device.
 *
 * C1 Nothing is written before the request was received, nor after the end.
 * C2 `gone` is called once, when the peer or grpc-js has ended the call after `opened`.
 * X1 At most KEPT streams wait for their calls. A call comes in the same turn as its stream; if more than KEPT start in one turn, the first are written to
 *    through grpc-js.
 */
import { randomBytes } from "node:crypto";
import type { ServerHttp2Stream } from "node:http2";
import { Metadata, ServerInterceptingCall, type ServerInterceptingCallInterface, type ServerInterceptor } from "@grpc/grpc-js";
import { NebulaError } from "../../common/errors/nebula-error.ts";
import type { WatchAnswer } from "../config/config-answer.ts";
import { peerOf } from "../listen/connections.ts";
import { type CallStream, watchStarts } from "../rpc/call-stream.ts";
import { errorStatus } from "../rpc/errors.ts";

const OK = 0;
const NO_HEADERS = new Metadata();

/** Takes a call over when its request was received. The request is as the decoder of the method returned it. */
export type OpenCall = (call: WatchCall, request: unknown, metadata: Metadata) => void;

export class WatchCall {
  readonly #call: ServerInterceptingCallInterface;
  readonly #open: OpenCall;
  readonly #rawStreams: RawStreams;
  #raw: RawStream | undefined;
  #metadata: Metadata | undefined;
  #request: unknown;
  #cancelled = false;
  #gone: (() => void) | undefined;
  #opening: AbortController | undefined;

  constructor(call: ServerInterceptingCallInterface, rawStreams: RawStreams, open: OpenCall) {
    this.#call = call;
    this.#rawStreams = rawStreams;
    this.#open = open;
  }

  // --- what grpc-js calls

  onReceiveMetadata(metadata: Metadata): void {
    this.#raw = this.#rawStreams.take(metadata);
    this.#metadata = metadata;
    this.#call.startRead();
  }

  onReceiveMessage(request: unknown): void {
    this.#request ??= request;
    this.#call.startRead();
  }

  onReceiveHalfClose(): void {
    const [request, metadata] = [this.#request, this.#metadata ?? NO_HEADERS];
    this.#request = undefined; // a watch lasts for months: what only its beginning needs is dropped
    this.#metadata = undefined;
    this.#open(this, request, metadata);
  }

  onCancel(): void {
    this.#cancelled = true;
    this.#opening?.abort(callerHasGone());
    this.#gone?.();
    this.#gone = undefined; // C2
  }

  // --- what the watch calls

  get cancelled(): boolean {
    return this.#cancelled;
  }

  /** Address and port of the caller. */
  get peer(): string {
    const socket = this.#raw?.session?.socket;
    if (socket !== undefined) return peerOf(socket);
    const { remoteAddress, remotePort } = this.#call.getConnectionInfo();
    return `${remoteAddress}:${remotePort}`;
  }

  /** Aborted when the call ends before it is opened. Made when it is asked for: most watches open without a wait. */
  get opening(): AbortSignal {
    if (this.#cancelled) return AbortSignal.abort(callerHasGone());
    this.#opening ??= new AbortController();
    return this.#opening.signal;
  }

  /** @param gone called when the call is over */
  opened(gone: () => void): void {
    this.#opening = undefined;
    this.#gone = gone;
    this.#call.sendMetadata(NO_HEADERS);
  }

  /** @param written called when the answer is with the kernel; never called if the call ends before */
  write(answer: WatchAnswer, written: () => void): void {
    if (this.#raw === undefined) this.#call.sendMessage(answer.bytes, written);
    else if (!this.#raw.destroyed && !this.#raw.closed) this.#raw.write(answer.frame, written);
  }

  /** Ends the call after its last write. */
  end(): void {
    this.#call.sendStatus({ code: OK, details: "" });
  }

  fail(error: NebulaError): void {
    this.#call.sendStatus(errorStatus(error));
  }
}

function callerHasGone(): NebulaError {
  return new NebulaError("cancelled", "the caller has gone");
}

/** Takes the calls of one method over; grpc-js serves all others, without a wrapper and its dozen objects around each of them. */
export function watchInterceptor(path: string, rawStreams: RawStreams, open: OpenCall): ServerInterceptor {
  return (method, call) => {
    if (method.path === path) return new ServerInterceptingCall(call, { start: () => call.start(new WatchCall(call, rawStreams, open)) });
    return isUsable(call) ? call : new ServerInterceptingCall(call);
  };
}

/** grpc-js declares a class as what an interceptor returns, and uses what this interface has. */
function isUsable(call: ServerInterceptingCallInterface): call is ServerInterceptingCall {
  return "startRead" in call;
}

// --- the HTTP/2 stream below a call

const KEPT = 256;

/** The HTTP/2 stream that a watch writes its configs to. */
export type RawStream = Pick<ServerHttp2Stream, "write" | "destroyed" | "closed"> & Partial<Pick<ServerHttp2Stream, "session">>;

/**
 * Finds the HTTP/2 stream below a gRPC call: a config that is framed once and written there is not copied for every device, as grpc-js copies it.
 *
 * Each stream and its headers are seen before grpc-js sees them (`watchStarts`). A header with an unguessable name is added, and under it the metadata of the call
 * names the stream. If that fails there is no such header, `take` returns undefined, and configs are written through grpc-js.
 */
export class RawStreams implements Disposable {
  readonly #path: string;
  readonly #header = `raw-${randomBytes(8).toString("hex")}`;
  /** By their numbers modulo KEPT. */
  readonly #waiting: ({ id: number; stream: RawStream } | undefined)[] = new Array(KEPT);
  #count = 0;
  readonly #starts: Disposable;

  /** @param path gRPC path of the calls that take their streams */
  constructor(path: string) {
    this.#path = path;
    this.#starts = watchStarts((stream, headers) => this.#add(stream, headers));
  }

  #add(stream: CallStream, headers: Record<string, unknown>): void {
    if (headers[":path"] !== this.#path) return;
    const id = ++this.#count;
    headers[this.#header] = String(id);
    this.#waiting[id % KEPT] = { id, stream }; // X1
  }

  /** Returns the stream of a call, once; undefined if the call must write through grpc-js. */
  take(metadata: Metadata): RawStream | undefined {
    const [text] = metadata.get(this.#header);
    const id = Number(text);
    const waiting = this.#waiting[id % KEPT];
    if (waiting?.id !== id) return undefined;
    this.#waiting[id % KEPT] = undefined;
    return waiting.stream;
  }

  [Symbol.dispose](): void {
    this.#starts[Symbol.dispose]();
    this.#waiting.fill(undefined);
  }
}
