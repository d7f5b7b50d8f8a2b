import type { IncomingMessage, RequestListener, ServerResponse } from "node:http";
import { Code, ConnectError } from "@connectrpc/connect";
import type { Clock } from "../../common/clock/clock.ts";
import type { Log } from "../../common/log/log.ts";
import { REQUEST_ID_HEADER } from "../../common/rpc/request-id.ts";
import { shown } from "../../common/text/wording.ts";
import { type CrossSitePolicy, crossSiteRefusal } from "./cross-site.ts";
import { asConnectError, sendError } from "./errors.ts";
import { callerOf, type Exchange, findRoute, type Route } from "./exchange.ts";
import type { HttpMetrics } from "./http-metrics.ts";
import type { RequestBodies } from "./request-body.ts";

export type ServeHttpOptions = Readonly<{
  routes: readonly Route[];
  bodies: RequestBodies;
  /** Answers, and says so, what can be answered at once at the least cost; not asked while authentication is off, as it looks at no Host. */
  atOnce: (request: IncomingMessage, response: ServerResponse) => boolean;
  /** Routes whose requests are logged at debug, unless they are refused. */
  quietRoutes: ReadonlySet<string>;
  policy: CrossSitePolicy;
  clock: Clock;
  log: Log;
  metrics: HttpMetrics;
}>;

/** The paths that load balancers and container engines ask for every few seconds. */
const PROBES = new Set(["/healthz", "/readyz"]);

/** The longest part of a path that a log line repeats. */
const PATH_SHOWN = 200;

/** The one way of every HTTP request: an id, the checks against other sites in a browser, its route, one line in the access log. */
export function serveHttp({ routes, bodies, atOnce, quietRoutes, policy, clock, log, metrics }: ServeHttpOptions): RequestListener {
  async function answer(exchange: Exchange): Promise<void> {
    const { request, response, path } = exchange;
    const route = findRoute(routes, path);
    for (const [name, value] of Object.entries(route?.headers ?? {})) response.setHeader(name, value);
    const refusal = crossSiteRefusal(browserHeaders(request), policy);
    if (refusal !== undefined) return sendError(response, new ConnectError(refusal, Code.PermissionDenied));
    if (route === undefined) {
      const dashboard = findRoute(routes, "/ui/") === undefined ? "" : "the dashboard at /ui/, ";
      const hint = `there is the API at /nebula.v1.<service>/<method> (POST, content-type: application/json), ${dashboard}/healthz and /readyz`;
      return sendError(response, new ConnectError(`nothing is at ${shown(path)}: ${hint}`, Code.Unimplemented), 404);
    }
    exchange.route = route.prefix;
    await route.handle(exchange);
  }

  return (request: IncomingMessage, response: ServerResponse) => {
    if (policy.authEnabled && atOnce(request, response)) return;
    const started = clock.monotonic();
    const caller = callerOf(request);
    const path = request.url?.split("?", 1)[0] ?? "/";
    const exchange: Exchange = { request, response, caller, path, body: bodies.of({ request, response, caller, path }), route: "none" };
    response.setHeader(REQUEST_ID_HEADER, caller.requestId);
    metrics.begun();
    response.once("close", () => {
      const ms = clock.monotonic() - started;
      const status = response.writableFinished ? response.statusCode : 499;
      const stream = /x-ndjson|connect\+/.test(String(response.getHeader("content-type")));
      metrics.ended(exchange.route, status, stream ? undefined : ms / 1000);
      const line = {
        requestId: caller.requestId,
        peer: caller.address,
        method: request.method,
        path: exchange.path.slice(0, PATH_SHOWN),
        status,
        ms: Math.round(ms),
      };
      // Requests that devices and load balancers make all day are worth a line only where they are refused.
      const isRoutine = PROBES.has(exchange.route) || (quietRoutes.has(exchange.route) && status < 400);
      if (isRoutine) log.debug(line, "request");
      else log.info(line, "request");
    });
    answer(exchange).catch((error: unknown) => {
      if (response.destroyed || response.writableEnded) return; // the caller went away
      const failure = asConnectError(error, caller.requestId, log);
      if (response.headersSent) response.destroy();
      else sendError(response, failure);
    });
  };
}

function browserHeaders({ method = "", headers }: IncomingMessage): Parameters<typeof crossSiteRefusal>[0] {
  const site = headers["sec-fetch-site"];
  return { method, host: headers.host, origin: headers.origin, secFetchSite: typeof site === "string" ? site : undefined };
}
