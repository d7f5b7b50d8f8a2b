import type { DescMethod, DescMethodServerStreaming, DescMethodUnary, Message } from "@bufbuild/protobuf";
import { Code, ConnectError, createConnectRouter, type HandlerContext } from "@connectrpc/connect";
import type { UniversalHandler } from "@connectrpc/connect/protocol";
import type { Log } from "../common/log/log.ts";
import { API_SERVICES } from "./api-services.ts";
import { type Caller, callerKey } from "./caller.ts";
import { asConnectError } from "./errors.ts";
import { forwardHeaders } from "./forward-headers.ts";
import { JSON_OPTIONS } from "./json-options.ts";
import type { ManagerPool } from "./manager-pool.ts";

/** How long a manager may take for a call that is no stream, milliseconds. A caller may ask for less. */
const UNARY_MS = 60_000;

/** The longest deadline that a caller may ask for, milliseconds: a timer can't be set beyond 24 days. */
export const LONGEST_MS = 7 * 86_400_000;

export type ForwarderOptions = Readonly<{
  pool: ManagerPool;
  partToken: string;
  /** Aborted when the gateway stops: streams end then, other calls finish. */
  stopping: AbortSignal;
  log: Log;
}>;

/** A call as its HTTP request brings it, besides the message. */
export type IncomingCall = Readonly<{
  caller: Caller;
  authorization: string | null;
  signal: AbortSignal;
  /** The caller's deadline, milliseconds from now. */
  timeoutMs: number | undefined;
}>;

export type Forwarder = Readonly<{
  /** A handler for every method of the API, which speaks Connect and gRPC-Web. */
  handlers: readonly UniversalHandler[];
  /** The messages of one server stream. Rejects with ConnectErrors. */
  stream(method: DescMethodServerStreaming, request: Message, call: IncomingCall): AsyncGenerator<Message, void>;
}>;

/** Forwards every method of the API, none of which it knows: the message goes to a manager, and its answer comes back. */
export function createForwarder({ pool, partToken, stopping, log }: ForwarderOptions): Forwarder {
  async function unary(method: DescMethodUnary, request: Message, call: IncomingCall): Promise<Message> {
    try {
      const headers = forwardHeaders(call.authorization, call.caller, partToken);
      return await pool.unary(method, request, { signal: call.signal, headers, timeoutMs: Math.min(UNARY_MS, call.timeoutMs ?? UNARY_MS) });
    } catch (error) {
      throw failure(error, call);
    }
  }

  async function* stream(method: DescMethodServerStreaming, request: Message, call: IncomingCall): AsyncGenerator<Message, void> {
    try {
      const headers = forwardHeaders(call.authorization, call.caller, partToken);
      const signal = AbortSignal.any([call.signal, stopping]);
      yield* pool.serverStream(method, request, { signal, headers, ...(call.timeoutMs === undefined ? {} : { timeoutMs: call.timeoutMs }) });
    } catch (error) {
      throw stopping.aborted ? new ConnectError("the gateway is stopping: call again", Code.Unavailable) : failure(error, call);
    }
  }

  /** What a call that failed is answered with. A deadline that passed ends the call at the manager as the caller's going away does; the signal tells which. */
  function failure(error: unknown, { signal, caller }: IncomingCall): ConnectError {
    return asConnectError(signal.reason instanceof ConnectError ? signal.reason : error, caller.requestId, log);
  }

  const router = createConnectRouter({
    grpc: false, // it needs HTTP/2; the managers speak it
    jsonOptions: JSON_OPTIONS,
    maxTimeoutMs: LONGEST_MS,
    acceptCompression: [], // a compressed stream costs memory per device, and a compressed request may hide any size
  });
  for (const method of API_SERVICES.flatMap((service) => service.methods)) {
    // The API has no streams of requests; reflection, which has, is the managers' own.
    if (isUnary(method)) router.rpc(method, (request, context) => unary(method, request, incomingCall(context)));
    if (isServerStream(method)) router.rpc(method, (request, context) => stream(method, request, incomingCall(context)));
  }
  return { handlers: router.handlers, stream };
}

function incomingCall(context: HandlerContext): IncomingCall {
  return {
    caller: context.values.get(callerKey),
    authorization: context.requestHeader.get("authorization"),
    signal: context.signal,
    timeoutMs: context.timeoutMs(),
  };
}

function isUnary(method: DescMethod): method is DescMethodUnary {
  return method.methodKind === "unary";
}

/** Whether a method answers a stream. */
export function isServerStream(method: DescMethod): method is DescMethodServerStreaming {
  return method.methodKind === "server_streaming";
}
