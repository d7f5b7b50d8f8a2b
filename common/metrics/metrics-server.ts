import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { hostname } from "node:os";
import type { Registry } from "prom-client";
import { messageOf } from "../errors/nebula-error.ts";
import { CannotListen, listen } from "../http/listen.ts";
import { isOwnHost } from "../http/own-host.ts";
import { send, sendJson, sendText } from "../http/send.ts";
import type { Log } from "../log/log.ts";
import { isLoopback } from "../net/address.ts";
import type { ListenAddress, Settings } from "../settings/settings.ts";
import { quote } from "../text/wording.ts";

export type MetricsServerOptions = Readonly<{
  /** undefined: nowhere. */
  listen: Settings["metricsListen"];
  registry: Registry;
  /** Returns the parts that are not ready yet, one word or sentence each; none: ready. */
  ready: () => readonly string[];
  log: Log;
}>;

export type MetricsServer = AsyncDisposable & {
  /** Where it listens; undefined: nowhere, since it is off or the default address was taken. */
  readonly address: ListenAddress | undefined;
};

/**
 * Serves /metrics, /healthz and /readyz without a login; over loopback only under a name of this machine, because a browser on it could be sent here by a page
 * whose name resolves to 127.0.0.1 (DNS rebinding). A default address that is taken is one warning: a second part on one machine has to start all the same.
 * @throws CannotListen where a given address can't be had
 */
export async function startMetricsServer({ listen: wanted, registry, ready, log }: MetricsServerOptions): Promise<MetricsServer> {
  const nowhere: MetricsServer = { address: undefined, [Symbol.asyncDispose]: async () => {} };
  if (wanted === undefined) return nowhere;

  const ownNames = [hostname(), wanted.host];
  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    if (isForeign(request, ownNames)) {
      const why = "under this name a page of another site could read it; use 127.0.0.1 or localhost";
      return sendJson(response, 403, { error: `invalid Host ${quote(request.headers.host ?? "")}: ${why}` });
    }
    if (request.method !== "GET" && request.method !== "HEAD") return sendJson(response, 405, { error: "only GET is answered here" });
    switch (request.url?.split("?")[0]) {
      case "/metrics":
        return send(response, 200, registry.contentType, await registry.metrics());
      case "/healthz":
        return sendText(response, 200, "ok\n");
      case "/readyz": {
        const missing = ready();
        return missing.length === 0 ? sendText(response, 200, "ok\n") : sendJson(response, 503, { not_ready: missing });
      }
      default:
        return sendJson(response, 404, { error: "there is /metrics, /healthz and /readyz here" });
    }
  }

  const server = createServer({ requestTimeout: 10_000, keepAliveTimeout: 30_000 }, (request, response) => {
    answer(request, response).catch((error: unknown) => {
      log.error({ error: messageOf(error) }, "figures could not be collected");
      sendJson(response, 500, { error: "the figures could not be collected, the log says why" });
    });
  });
  try {
    const address = await listen(server, wanted, "NEBULA_METRICS_LISTEN");
    return {
      address,
      async [Symbol.asyncDispose]() {
        await new Promise<void>((resolve) => {
          server.close(() => resolve());
          server.closeAllConnections();
        });
      },
    };
  } catch (error) {
    if (!(error instanceof CannotListen && error.taken) || wanted.given) throw error;
    log.warn({}, `${error.message}; going on without /metrics and /readyz`);
    return nowhere;
  }
}

/** Whether a request that came over loopback names another host than this machine. A client without a Host is not a browser. */
function isForeign({ socket, headers }: IncomingMessage, ownNames: readonly string[]): boolean {
  return isLoopback(socket.localAddress ?? "") && headers.host !== undefined && !isOwnHost(headers.host, ownNames);
}
