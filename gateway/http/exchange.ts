import type { IncomingMessage, ServerResponse } from "node:http";
import { type ContextKey, createContextKey } from "@connectrpc/connect";
import { withoutMapping } from "../../common/net/address.ts";
import { REQUEST_ID_HEADER, requestIdFrom } from "../../common/rpc/request-id.ts";

/** The body of one request, which is read or dropped once. */
export type RequestBody = Readonly<{
  /**
   * The whole body. Rejects with a ConnectError `resource_exhausted` above the limit, and with NebulaErrors:
   * `unavailable` where all hold too much, `resource_exhausted` where this Authorization does, and those of a failed
   * login.
   */
  read(): Promise<Uint8Array>;
  /**
   * The whole body, of at most `most` bytes: it needs no valid Authorization, however much others without one hold.
   * Rejects with NebulaErrors: `invalid_argument` if it is larger, `unavailable` where all hold too much.
   */
  readSmall(most: number): Promise<Uint8Array>;
  /** Reads and drops the body. Rejects above the limit as `read` does. */
  drop(): Promise<void>;
}>;

/** One HTTP request and its answer on their way through the gateway. */
export type Exchange = {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly caller: Caller;
  /** The path without the query. */
  readonly path: string;
  readonly body: RequestBody;
  /** The path that the request is counted under; a handler that knows its path sets it, so that what callers invent makes no metrics. */
  route: string;
};

/** Answers a request. An error that it throws is answered, and logged, as unhandled. */
export type HttpHandler = (exchange: Exchange) => Promise<void> | void;

/** Everything at and below a path. */
export type Route = Readonly<{
  /** `/healthz` is itself and what is below it; `/nebula.v1.AppService/` is only what is below it. */
  prefix: string;
  /** Whether the prefix is the whole path. */
  exact?: boolean;
  /** Set on each of its answers, refusals included. */
  headers?: Readonly<Record<string, string>>;
  handle: HttpHandler;
}>;

/** The route with the longest prefix that covers the path. */
export function findRoute(routes: readonly Route[], path: string): Route | undefined {
  const covering = routes.filter(
    ({ prefix, exact = false }) => path === prefix || (!exact && path.startsWith(prefix.endsWith("/") ? prefix : `${prefix}/`)),
  );
  return covering.toSorted((a, b) => b.prefix.length - a.prefix.length)[0];
}

/** The sender of an HTTP request, as far as the connection shows it. */
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
    address: withoutMapping(request.socket.remoteAddress ?? ""),
    requestId: requestIdFrom(typeof id === "string" ? id : undefined),
  };
}

/** How JSON is read and written: proto's field names, zero values present, unknown fields refused. */
export const JSON_OPTIONS = { ignoreUnknownFields: false, useProtoFieldName: true, alwaysEmitImplicit: true } as const;
