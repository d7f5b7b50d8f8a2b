import type { IncomingMessage } from "node:http";
import { type ContextKey, createContextKey } from "@connectrpc/connect";
import { REQUEST_ID_HEADER, requestIdFrom } from "../common/rpc/request-id.ts";

/** Who sent an HTTP request, as far as the connection shows it. */
export type Caller = Readonly<{
  /** IP address; empty: the connection is gone. */
  address: string;
  /** The id under which the call is found in the logs of every part. */
  requestId: string;
}>;

export const callerKey: ContextKey<Caller> = createContextKey<Caller>({ address: "", requestId: "" });

export function callerOf(request: IncomingMessage): Caller {
  const id = request.headers[REQUEST_ID_HEADER];
  return {
    // A socket of both families shows an IPv4 caller so; everybody else knows it without the prefix.
    address: (request.socket.remoteAddress ?? "").replace(/^::ffff:(?=\d+\.)/, ""),
    requestId: requestIdFrom(typeof id === "string" ? id : undefined),
  };
}
