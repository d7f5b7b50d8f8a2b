/**
 * The HTTP/2 stream below a gRPC call. The diagnostics channel `http2.server.stream.start` shows every stream and its
 * headers before grpc-js sees them; it is of stability 1, experimental.
 */
import { channel } from "node:diagnostics_channel";
import { constants, type ServerHttp2Stream } from "node:http2";
import type { NebulaError } from "../../common/errors/nebula-error.ts";
import { errorStatus } from "./errors.ts";

const STREAM_STARTS = "http2.server.stream.start";
const { NGHTTP2_ENHANCE_YOUR_CALM, NGHTTP2_NO_ERROR, NGHTTP2_STREAM_STATE_OPEN, NGHTTP2_STREAM_STATE_HALF_CLOSED_LOCAL } = constants;

export type Headers = Readonly<Record<string, unknown>>;

/** The part of a stream that is looked at, and acted on. */
export type CallStream = Pick<
  ServerHttp2Stream,
  | "on"
  | "eventNames"
  | "listeners"
  | "removeAllListeners"
  | "off"
  | "close"
  | "closed"
  | "destroyed"
  | "headersSent"
  | "pause"
  | "resume"
  | "respond"
  | "state"
  | "readableEnded"
  | "writableEnded"
  | "session"
  | "write"
>;

/** Calls `onStart` for each stream that starts in this process, until it is disposed. Where the channel fails it is never called. */
export function watchStarts(onStart: (stream: CallStream, headers: Record<string, unknown>) => void): Disposable {
  const onMessage = (message: unknown) => {
    if (isStart(message)) onStart(message.stream, message.headers);
  };
  channel(STREAM_STARTS).subscribe(onMessage);
  return { [Symbol.dispose]: () => void channel(STREAM_STARTS).unsubscribe(onMessage) };
}

function isStart(message: unknown): message is { stream: CallStream; headers: Record<string, unknown> } {
  if (typeof message !== "object" || message === null || !("stream" in message) || !("headers" in message)) return false;
  const { stream, headers } = message;
  return typeof stream === "object" && stream !== null && "write" in stream && typeof headers === "object" && headers !== null;
}

/**
 * Whether nothing more of the request is to come. A stream that was read to its end is known to be complete without
 * asking HTTP/2, which is dear.
 */
export function isRequestComplete(stream: CallStream): boolean {
  if (stream.readableEnded) return true;
  const { state } = stream;
  return state.state !== NGHTTP2_STREAM_STATE_OPEN && state.state !== NGHTTP2_STREAM_STATE_HALF_CLOSED_LOCAL;
}

/**
 * Answers a call, whose handler has not, with an error, and ends it. The end follows a turn later, because an answer is
 * lost where it is ended at once; until then gRPC, which answers no call that is closed, takes it for closed.
 */
export function refuseStream(stream: CallStream, error: NebulaError): void {
  if (stream.destroyed || stream.closed) return;
  if (stream.headersSent) {
    stream.close(NGHTTP2_ENHANCE_YOUR_CALM);
    return;
  }
  const { code, details, metadata } = errorStatus(error);
  const status = { ...metadata.toHttp2Headers(), "grpc-status": String(code), "grpc-message": encodeURI(details) };
  stream.respond({ ":status": 200, "content-type": "application/grpc", ...status }, { endStream: true });
  Reflect.defineProperty(stream, "closed", { value: true, configurable: true });
  setImmediate(() => {
    Reflect.deleteProperty(stream, "closed");
    if (!stream.destroyed) drop(stream);
  });
}

/** Closes a stream whose answer is complete, in a turn of its own as well, though its client has not ended the request: it need not. */
export function closeAnswered(stream: CallStream): void {
  setImmediate(() => {
    if (!stream.destroyed && !stream.closed) drop(stream);
  });
}

function drop(stream: CallStream): void {
  stream.close(NGHTTP2_NO_ERROR);
  stream.resume(); // what has come of it takes up the connection's window
}
