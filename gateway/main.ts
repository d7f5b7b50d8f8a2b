import { hostname } from "node:os";
import { Gauge, type Registry } from "prom-client";
import { PART_TOKEN_HEADER, partToken } from "../common/access/part-token.ts";
import type { Clock } from "../common/clock/clock.ts";
import type { ChangeFeed } from "../common/feed/change-feed.ts";
import { listen } from "../common/http/listen.ts";
import { sendJson, sendText } from "../common/http/send.ts";
import { ConnectionLimiter } from "../common/listen/connection-limiter.ts";
import { openFilesLimit, withinOpenFiles } from "../common/listen/open-files.ts";
import type { Log } from "../common/log/log.ts";
import { dialable, formatAddress } from "../common/net/address.ts";
import type { ListenAddress, Settings } from "../common/settings/settings.ts";
import { ReloadedClientTls } from "../common/tls/client-tls.ts";
import { ServerTls } from "../common/tls/server-tls.ts";
import { checkLogin } from "./api/access-verdict.ts";
import { connectRoutes } from "./api/connect-routes.ts";
import { createForwarder } from "./api/forwarder.ts";
import { dashboardRoutes } from "./dashboard/serve/dashboard-routes.ts";
import { loginRoutes } from "./dashboard/serve/login.ts";
import { withSessionCookie } from "./dashboard/serve/session-cookie.ts";
import type { Route } from "./http/exchange.ts";
import { createHttpMetrics } from "./http/http-metrics.ts";
import { createHttpServer } from "./http/http-server.ts";
import { RequestBodies } from "./http/request-body.ts";
import { serveHttp } from "./http/serve-http.ts";
import type { Lookup } from "./managers/known-managers.ts";
import { ManagerPool } from "./managers/manager-pool.ts";
import { managerTls } from "./managers/manager-tls.ts";
import { INFO_ROUTE, openInfo } from "./v2/info/info.ts";
import { OPERATIONS } from "./v2/operations.ts";
import { v2Route } from "./v2/v2-route.ts";

export type GatewaySettings = Pick<Settings, "httpListen" | "grpcListen" | "managers" | "authEnabled"> &
  Partial<Pick<Settings, "tls" | "httpConnections" | "dashboard">>;

export type GatewayOptions = Readonly<{
  settings: GatewaySettings;
  secrets: Readonly<{ clusterKey: string }>;
  /** Tells that rights changed; opened, and closed after the gateway has stopped, by the caller. */
  changeFeed: Pick<ChangeFeed, "subscribe">;
  clock: Clock;
  log: Log;
  registry: Registry;
  /** How long a stop waits for requests in flight, milliseconds. */
  stopMs?: number;
  /** Looks up the managers' names. */
  lookup?: Lookup;
}>;

export type RunningGateway = AsyncDisposable & {
  /** Where it listens, the port as bound. */
  readonly address: ListenAddress;
  /** Whether a manager is connected. */
  readonly ready: boolean;
  /** Ends the streams, lets requests in flight finish, then closes; within `stopMs` in any case. */
  stop(): Promise<void>;
};

/** The reason that `/readyz` names, here and on the port of the metrics. */
export const NO_MANAGER = "gateway: no manager answers";

const STOP_MS = 5000;

const UNLIMITED = { inAll: Number.POSITIVE_INFINITY, perAddress: Number.POSITIVE_INFINITY };

/** Starts the HTTP side of the API. Rejects with `failed_precondition` when its address is taken, or a file of TLS is wrong. The managers need not be up yet. */
export async function startGateway({
  settings,
  secrets,
  changeFeed,
  clock,
  log,
  registry,
  stopMs = STOP_MS,
  lookup,
}: GatewayOptions): Promise<RunningGateway> {
  const stopping = new AbortController();
  await using opening = new AsyncDisposableStack();
  opening.defer(() => stopping.abort()); // what was begun ends with a start that fails
  const tls = await ServerTls.open(settings.tls, log);
  if (tls !== undefined) opening.use(tls);
  const clientTls = opening.use(await ReloadedClientTls.open(settings.tls, log));
  const named = settings.managers.length > 0;
  const own = { protocol: tls === undefined ? "grpc" : "grpcs", ...dialable(settings.grpcListen) } as const;
  const managers = named ? settings.managers : [own];
  const token = partToken(secrets.clusterKey);
  const headers = { [PART_TOKEN_HEADER]: token };
  const pool = opening.use(
    new ManagerPool({ urls: managers, tls: managerTls(tls, clientTls, named), headers, clock, log, ...(lookup === undefined ? {} : { lookup }) }),
  );
  for (const files of [tls, clientTls]) files?.onChange(() => pool.renew());
  showManagers(registry, pool);
  const forwarder = createForwarder({ pool, partToken: token, stopping: stopping.signal, log });
  const metrics = createHttpMetrics(registry);
  const info = openInfo({ pool, partToken: token, changeFeed, clock, log, registry, http: metrics }, stopping.signal);
  const api = connectRoutes(forwarder, log);
  const routes: readonly Route[] = [
    ...(settings.dashboard === true ? [...withSessionCookie(api), ...loginRoutes({ pool, partToken: token }), ...dashboardRoutes()] : api),
    v2Route({ operations: [...OPERATIONS, info.operation], pool, partToken: token, log }),
    { prefix: "/healthz", handle: ({ response }) => sendText(response, 200, "ok\n") },
    {
      prefix: "/readyz",
      handle: ({ response }) => (pool.connected ? sendText(response, 200, "ok\n") : sendJson(response, 503, { not_ready: [NO_MANAGER] })),
    },
  ];
  const policy = { authEnabled: settings.authEnabled, ownNames: [hostname(), settings.httpListen.host] };
  const limits = withinOpenFiles(settings.httpConnections ?? UNLIMITED, openFilesLimit());
  const limiter = new ConnectionLimiter({ limits, name: "HTTP", log });
  const bodies = new RequestBodies(checkLogin({ pool, partToken: token }));
  const listener = serveHttp({ routes, bodies, atOnce: info.answerAtOnce, quietRoutes: new Set([INFO_ROUTE]), policy, clock, log, metrics });
  const server = createHttpServer({ listener, limiter, tls, log });
  const address = await listen(server, settings.httpListen, "NEBULA_HTTP_LISTEN");
  const opened = opening.move();
  log.info({ address: formatAddress(address), managers: managers.map(formatAddress) }, "gateway started");
  pool.connect(stopping.signal).catch(() => {
    if (!stopping.signal.aborted) log.warn({ managers: managers.map(formatAddress) }, "no manager answers yet");
  });

  let stopped: Promise<void> | undefined;
  async function stop(): Promise<void> {
    stopping.abort();
    const closed = new Promise<void>((resolve) => server.close(() => resolve()));
    // A connection whose last request was answered after the close would be kept for the next one.
    const idle = setInterval(() => server.closeIdleConnections(), 50);
    const late = setTimeout(() => server.closeAllConnections(), stopMs);
    await closed;
    clearTimeout(late);
    clearInterval(idle);
    await opened.disposeAsync();
    log.info("gateway stopped");
  }
  const stopOnce = () => {
    stopped ??= stop();
    return stopped;
  };
  return {
    address,
    get ready() {
      return pool.connected;
    },
    stop: stopOnce,
    [Symbol.asyncDispose]: stopOnce,
  };
}

function showManagers(registry: Registry, pool: ManagerPool): void {
  new Gauge({
    name: "nebula_gateway_managers",
    help: "Managers of this gateway by state: up, without_store (used while none is up), silent (left out), away (not connected).",
    labelNames: ["state"],
    registers: [registry],
    collect() {
      for (const [state, count] of Object.entries(pool.states)) this.set({ state }, count);
    },
  });
}
