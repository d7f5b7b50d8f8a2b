import type { IncomingMessage, ServerResponse } from "node:http";
import type { Caller } from "./caller.ts";
import type { RequestBody } from "./request-body.ts";

/** One HTTP request and its answer on their way through the gateway. */
export type Exchange = {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly caller: Caller;
  /** The path without the query. */
  readonly path: string;
  readonly body: RequestBody;
  /** What the request is counted under; a handler that knows its path sets it, so that what callers invent makes no figures. */
  route: string;
};

/** Answers a request. What it throws is answered, and logged, as a fault of ours. */
export type HttpHandler = (exchange: Exchange) => Promise<void> | void;

/** Everything at and below a path. */
export type Route = Readonly<{
  /** `/healthz` is itself and what is below it; `/nebula.v1.AppService/` is only what is below it. */
  prefix: string;
  handle: HttpHandler;
}>;

/** The route with the longest prefix that covers the path. */
export function findRoute(routes: readonly Route[], path: string): Route | undefined {
  const covering = routes.filter(({ prefix }) => path.startsWith(prefix.endsWith("/") ? prefix : `${prefix}/`) || path === prefix);
  return covering.toSorted((a, b) => b.prefix.length - a.prefix.length)[0];
}
