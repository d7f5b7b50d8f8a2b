/**
 * One WatchConfig call, taken over from grpc-js right above its HTTP/2 stream: the stream object that a handler would get costs 2 KB and 20 us per
 * device, and its writes copy every config for every device.
 *
 * C1 Nothing is written before the request has come, nor after the end.
 * C2 `gone` is called once, when the peer or grpc-js has ended the call after `opened`.
 */
import { Metadata, ServerInterceptingCall, type ServerInterceptingCallInterface, type ServerInterceptor } from "@grpc/grpc-js";
import type { NebulaError } from "../../common/errors/nebula-error.ts";
import { peerOf } from "../listen/connections.ts";
import { errorStatus } from "../rpc/error-status.ts";
import type { RawStream, RawStreams } from "./raw-streams.ts";
import type { WatchAnswer } from "./watch-answer.ts";

const OK = 0;
const NO_HEADERS = new Metadata();

/** What takes a call over when its request is there. The request is what the method's decoder made of it. */
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
    this.#request = undefined; // a watch lasts for months: what only its beginning needs goes
    this.#metadata = undefined;
    this.#open(this, request, metadata);
  }

  onCancel(): void {
    this.#cancelled = true;
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

  /** @param gone called when the call is over */
  opened(gone: () => void): void {
    this.#gone = gone;
    this.#call.sendMetadata(NO_HEADERS);
  }

  /** @param written called when the answer is with the kernel; never, when the call ends before */
  write(answer: WatchAnswer, written: () => void): void {
    if (this.#raw === undefined) this.#call.sendMessage(answer.bytes, written);
    else if (!this.#raw.destroyed && !this.#raw.closed) this.#raw.write(answer.frame, written);
  }

  /** Ends the call after what was written. */
  end(): void {
    this.#call.sendStatus({ code: OK, details: "" });
  }

  fail(error: NebulaError): void {
    this.#call.sendStatus(errorStatus(error));
  }
}

/** Has the calls of one method taken over; all others go on as they are. */
export function watchInterceptor(path: string, rawStreams: RawStreams, open: OpenCall): ServerInterceptor {
  return (method, call) =>
    new ServerInterceptingCall(call, method.path === path ? { start: () => call.start(new WatchCall(call, rawStreams, open)) } : undefined);
}
