/**
 * One call of WatchConfig or WatchAndReport, taken over from grpc-js right above its HTTP/2 stream: the stream object that a handler would get costs 2 KB and 20 us
 * per device, and its writes copy every config for every device.
 *
 * C1 Nothing is written before the request that opens the watch was received, nor after the end; no report is taken then.
 * C2 `gone` is called once, when the peer or grpc-js has ended the call after `opened`.
 * X1 At most KEPT streams wait for their calls. A call comes in the same turn as its stream; if more than KEPT start in one turn, the first are written to
 *    through grpc-js.
 * X2 Of WatchAndReport every request is read from the HTTP/2 stream. Where that is not known grpc-js reads on, and each report is answered `by_call`: its device
 *    sends it by SubmitReports.
 * X3 Of a call of WatchAndReport that has ended nothing more is read, and its stream is closed though its device may send on.
 */

import { randomBytes } from "node:crypto";
import { type DescMethod, isMessage } from "@bufbuild/protobuf";
import { Metadata, ServerInterceptingCall, type ServerInterceptingCallInterface, type ServerInterceptor } from "@grpc/grpc-js";
import { LARGEST_WATCH_REQUEST } from "../../common/config/watch-features.ts";
import { NebulaError } from "../../common/errors/nebula-error.ts";
import { readMessage } from "../../common/protobuf/binary-message.ts";
import { pathOf, readRequest, Undecodable } from "../../common/rpc/service-definition.ts";
import { WatchAndReportRequestSchema } from "../../gen/nebula/v1/config_pb.ts";
import type { WatchAnswer } from "../config/config-answer.ts";
import { peerOf } from "../listen/connections.ts";
import { type CallStream, closeAnswered, watchStarts } from "../rpc/call-stream.ts";
import { errorStatus } from "../rpc/errors.ts";
import { letGoOfBeginning, letGoOfReading } from "../rpc/finished-call.ts";
import { MessageReader, type Skipped } from "./message-reader.ts";
import { BY_CALL, type Reporter, type ReportsOnWatch } from "./reports-on-watch.ts";

const OK = 0;
const NO_HEADERS = new Metadata();
/** When a device opens its watch again for which there was no room, milliseconds. */
const NO_ROOM_RETRY_MS = 1000;

/** Takes a call over when its request was received. The request is as the decoder of the method returned it. */
export type OpenCall = (call: WatchCall, request: unknown, metadata: Metadata) => void;

export class WatchCall {
  /** WatchConfig or WatchAndReport. */
  readonly method: DescMethod;
  readonly #call: ServerInterceptingCallInterface;
  readonly #open: OpenCall;
  readonly #rawStreams: RawStreams;
  readonly #reports: ReportsOnWatch | undefined;
  /** Of the requests of WatchAndReport (X2). */
  #reader: MessageReader | undefined;
  #raw: RawStream | undefined;
  #metadata: Metadata | undefined;
  #request: unknown;
  /** By whom its reports are; undefined: the watch is not open, has ended, or takes none. */
  #reporter: Reporter | undefined;
  #reporting: AbortController | undefined;
  #cancelled = false;
  #gone: (() => void) | undefined;
  #opening: AbortController | undefined;

  constructor(call: ServerInterceptingCallInterface, rawStreams: RawStreams, open: OpenCall, { method, reports }: WatchMethod) {
    this.method = method;
    this.#call = call;
    this.#rawStreams = rawStreams;
    this.#open = open;
    this.#reports = reports;
  }

  // --- what grpc-js calls

  onReceiveMetadata(metadata: Metadata): void {
    this.#raw = this.#rawStreams.take(metadata);
    this.#metadata = metadata;
    const read = this.#reports === undefined ? undefined : takeReading(this.#raw);
    if (this.#reports !== undefined && read !== undefined) this.#readRaw(this.#reports, read);
    else this.#call.startRead();
  }

  onReceiveMessage(request: unknown): void {
    if (this.#reports === undefined) {
      this.#request ??= request;
      this.#call.startRead();
    } else if (this.#metadata !== undefined) this.#begin(firstRequest(request));
    else if (this.#reporter !== undefined) this.#call.sendMessage(BY_CALL.bytes, () => this.#call.startRead()); // X2, C1
  }

  onReceiveHalfClose(): void {
    this.#reader?.end();
    if (this.#metadata !== undefined) this.#begin(this.#reports === undefined ? this.#request : firstRequest(undefined));
  }

  #begin(request: unknown): void {
    const metadata = this.#metadata ?? NO_HEADERS;
    this.#request = undefined; // a watch lasts for months: what only its beginning needs is dropped
    this.#metadata = undefined;
    this.#open(this, request, metadata);
  }

  #readRaw(reports: ReportsOnWatch, stream: CallStream): void {
    const reader = new MessageReader(stream, reports.partials, (message) => {
      if (this.#metadata === undefined) void this.#report(reports, message);
      else this.#begin(firstRequest(typeof message === "string" ? message : readRequest(WatchAndReportRequestSchema, message, readMessage)));
    });
    this.#reader = reader;
    stream.on("data", (chunk: Uint8Array) => reader.read(chunk));
    stream.on("end", () => this.onReceiveHalfClose());
    stream.resume();
  }

  async #report(reports: ReportsOnWatch, message: Uint8Array | Skipped): Promise<void> {
    const reporter = this.#reporter;
    if (reporter === undefined) return; // C1
    this.#reporting = new AbortController();
    const { frame } = await reports.answer(message, reporter, this.#reporting.signal);
    this.#reporting = undefined;
    this.#writeRaw(frame, () => this.#reader?.next());
  }

  onCancel(): void {
    this.#cancelled = true;
    this.#reporter = undefined;
    this.#opening?.abort(callerHasGone());
    this.#reporting?.abort(callerHasGone());
    this.#reader?.close();
    if (this.#reports !== undefined && this.#raw !== undefined && isReadable(this.#raw)) closeAnswered(this.#raw); // X3
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

  /** @param reporter by whom its reports are, if it takes any */
  reportsBy(reporter: Reporter): void {
    if (this.#reports !== undefined) this.#reporter = reporter;
  }

  /** @param gone called when the call is over */
  opened(gone: () => void): void {
    this.#opening = undefined;
    this.#gone = gone;
    this.#call.sendMetadata(NO_HEADERS);
    if (this.#reader !== undefined || this.#reports === undefined) letGoOfReading(this.#call);
    if (this.#raw !== undefined && isReadable(this.#raw)) letGoOfBeginning(this.#raw);
    if (this.#reader !== undefined) this.#reader.next();
    else if (this.#reports !== undefined) this.#call.startRead();
  }

  /** @param written called when the answer is with the kernel; never called if the call ends before */
  write(answer: WatchAnswer, written: () => void): void {
    if (this.#raw === undefined) this.#call.sendMessage(answer.bytes, written);
    else this.#writeRaw(answer.frame, written);
  }

  /** Writes unless the stream has ended, which grpc-js does by itself when the deadline of a call passes (C1). */
  #writeRaw(frame: Uint8Array, written: () => void): void {
    const raw = this.#raw;
    if (raw === undefined || this.#cancelled || raw.destroyed || raw.closed || raw.writableEnded === true) return;
    raw.write(frame, written);
  }

  /** Ends the call after its last write. */
  end(): void {
    this.#reporter = undefined;
    this.#call.sendStatus({ code: OK, details: "" });
  }

  fail(error: NebulaError): void {
    this.#reporter = undefined;
    this.#call.sendStatus(errorStatus(error));
  }
}

function callerHasGone(): NebulaError {
  return new NebulaError("cancelled", "the caller has gone");
}

/**
 * Returns the request that opens a watch, of the first request of WatchAndReport; or the error that refuses it.
 * @param first undefined: the stream ended before it
 */
function firstRequest(first: unknown): unknown {
  if (first === undefined) return invalidFirst("the stream ended before it");
  if (first === "no room")
    return new NebulaError("unavailable", "this manager has no room now for a request that comes in pieces: open the watch again", {
      retryAfterMs: NO_ROOM_RETRY_MS,
    });
  if (first === "too large") return invalidFirst(`it is larger than ${LARGEST_WATCH_REQUEST} bytes`);
  if (first === "compressed") return invalidFirst("it is compressed");
  if (first instanceof Undecodable) return invalidFirst(`it is not a valid ${WatchAndReportRequestSchema.typeName}: ${first.reason}`);
  if (!isMessage(first, WatchAndReportRequestSchema) || first.request.case !== "watch") return invalidFirst('it must be "watch"');
  return first.request.value;
}

function invalidFirst(why: string): NebulaError {
  return new NebulaError("invalid_argument", `invalid first request of WatchAndReport: ${why}`);
}

/** A method that opens a watch. `reports`: takes those that come on its stream; undefined: the method has none. */
export type WatchMethod = Readonly<{ method: DescMethod; reports: ReportsOnWatch | undefined }>;

/** Takes the calls of these methods over; grpc-js serves all others, without a wrapper and its dozen objects around each of them. */
export function watchInterceptor(methods: readonly WatchMethod[], rawStreams: RawStreams, open: OpenCall): ServerInterceptor {
  const byPath = new Map(methods.map((taken) => [pathOf(taken.method), taken]));
  return (called, call) => {
    const taken = byPath.get(called.path);
    if (taken !== undefined) return new ServerInterceptingCall(call, { start: () => call.start(new WatchCall(call, rawStreams, open, taken)) });
    return isUsable(call) ? call : new ServerInterceptingCall(call);
  };
}

/** grpc-js declares a class as what an interceptor returns, and uses what this interface has. */
function isUsable(call: ServerInterceptingCallInterface): call is ServerInterceptingCall {
  return "startRead" in call;
}

// --- the HTTP/2 stream below a call

const KEPT = 256;

/** The HTTP/2 stream that a watch writes its configs to, and reads reports from. */
export type RawStream = Pick<CallStream, "write" | "destroyed" | "closed"> & Partial<CallStream>;

/** Takes the reading of a stream from grpc-js, which is the last that has begun to listen, and returns what can be read then; undefined: it can't be taken. */
function takeReading(raw: RawStream | undefined): CallStream | undefined {
  if (raw === undefined || !isReadable(raw)) return undefined;
  const listener = raw.listeners("data").at(-1);
  if (listener === undefined) return undefined;
  raw.off("data", listener);
  return raw;
}

function isReadable(raw: RawStream): raw is CallStream {
  return "listeners" in raw && "off" in raw && "on" in raw && "pause" in raw && "resume" in raw;
}

/**
 * Finds the HTTP/2 stream below a gRPC call: a config that is framed once and written there is not copied for every device, as grpc-js copies it.
 *
 * Each stream and its headers are seen before grpc-js sees them (`watchStarts`). A header with an unguessable name is added, and under it the metadata of the call
 * names the stream. If that fails there is no such header, `take` returns undefined, and configs are written through grpc-js.
 */
export class RawStreams implements Disposable {
  readonly #paths: readonly string[];
  readonly #header = `raw-${randomBytes(8).toString("hex")}`;
  /** By their numbers modulo KEPT. */
  readonly #waiting: ({ id: number; stream: RawStream } | undefined)[] = new Array(KEPT);
  #count = 0;
  readonly #starts: Disposable;

  /** @param paths gRPC paths of the calls that take their streams */
  constructor(paths: readonly string[]) {
    this.#paths = paths;
    this.#starts = watchStarts((stream, headers) => this.#add(stream, headers));
  }

  #add(stream: CallStream, headers: Record<string, unknown>): void {
    if (!this.#paths.includes(String(headers[":path"]))) return;
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
