import type { IncomingMessage } from "node:http";
import type { RequestOptions } from "node:https";
import { Code, ConnectError } from "@connectrpc/connect";
import type { UniversalClientFn, UniversalClientResponse } from "@connectrpc/connect/protocol";
import { codeOf } from "../../../common/errors/system-reason.ts";

// Does what connect-node's client for HTTP/1.1 does, without HTTP/2, compression and the server half of that package.
// An import of node:http reads all of its exports and so loads HTTP/2 too, which took longer than an empty process.

/** Calls over HTTP/1.1, or HTTPS with these options. Rejects with a ConnectError whose cause is the system's error. */
export function createHttp1Client(tls?: RequestOptions): UniversalClientFn {
  return async ({ url, method, header, body, signal }) => {
    const { request } = process.getBuiltinModule(tls === undefined ? "node:http" : "node:https");
    const headers = Object.fromEntries(header);
    try {
      const outgoing = request(url, { ...tls, method, headers, ...(signal === undefined ? {} : { signal }) });
      const answer = Promise.withResolvers<IncomingMessage>();
      outgoing.once("response", answer.resolve);
      // Not `once`: a connection that ends while the answer is read emits an error here too; the reader of that answer
      // throws it.
      outgoing.on("error", answer.reject);
      answer.promise.catch(() => outgoing.destroy()); // also where the body ends the call before the answer is waited for
      for await (const chunk of body ?? []) outgoing.write(chunk);
      outgoing.end();
      const incoming = await answer.promise;
      endUnread(incoming, signal);
      return answerOf(incoming, signal);
    } catch (error) {
      throw connectErrorOf(error, signal);
    }
  };
}

/**
 * Closes the connection of an answer that came whole and was not read to its end when the signal is aborted: an abort of Node leaves it open then, and it kept the
 * process until the server closed it.
 */
function endUnread(incoming: IncomingMessage, signal: AbortSignal | undefined): void {
  const { socket } = incoming;
  const close = () => socket.destroy();
  signal?.addEventListener("abort", close, { once: true });
  incoming.once("end", () => signal?.removeEventListener("abort", close)); // the connection may serve another call from now on
}

function answerOf(incoming: IncomingMessage, signal: AbortSignal | undefined): UniversalClientResponse {
  const header = new Headers();
  for (const [name, values] of Object.entries(incoming.headersDistinct)) for (const value of values ?? []) header.append(name, value);
  return { status: incoming.statusCode ?? 0, header, body: bytesOf(incoming, signal), trailer: new Headers() };
}

async function* bytesOf(incoming: IncomingMessage, signal: AbortSignal | undefined): AsyncGenerator<Uint8Array> {
  try {
    yield* incoming;
  } catch (error) {
    throw connectErrorOf(error, signal);
  }
}

/**
 * Maps a failed connection to the code that connect-node gives it, so that callers see no difference between the two
 * clients.
 */
function connectErrorOf(error: unknown, signal: AbortSignal | undefined): ConnectError {
  const reason: unknown = signal?.aborted ? signal.reason : error;
  switch (codeOf(reason)) {
    case "ETIMEDOUT":
    case "ENOTFOUND":
    case "EAI_AGAIN":
    case "ECONNREFUSED":
      return withCause(reason, Code.Unavailable);
    case "ECONNRESET":
    case "ERR_STREAM_DESTROYED":
    case "ERR_STREAM_WRITE_AFTER_END":
      return withCause(reason, Code.Aborted);
    default:
      return withCause(reason, Code.Internal);
  }
}

function withCause(reason: unknown, code: Code): ConnectError {
  const error = ConnectError.from(reason, code);
  if (error !== reason) error.cause = reason;
  return error;
}
