import { systemClock } from "../../../../common/clock/system-clock.ts";
import { assertNever } from "../../../../common/errors/assert-never.ts";
import type { Secrets } from "../../../../common/keys/key-files.ts";
import { createLog } from "../../../../common/log/log.ts";
import { startMetricsServer } from "../../../../common/metrics/metrics-server.ts";
import { createRegistry } from "../../../../common/metrics/registry.ts";
import { formatAddress } from "../../../../common/net/address.ts";
import type { ListenAddress, Settings } from "../../../../common/settings/settings.ts";
import { VERSION } from "../../../../common/version.ts";
import type { CommandContext } from "../../command/command.ts";
import { aborted, onStopSignal, STOP_MS } from "../../command/stop-signals.ts";
import type { RunningParts, StartOptions } from "./start-server.ts";

/** Runs parts of the server until the process receives a stop signal. Returns the exit code. */
export async function runParts(
  name: string,
  start: (options: StartOptions) => Promise<RunningParts>,
  { settings, io }: CommandContext,
): Promise<number> {
  const stop = onStopSignal(io.complain, STOP_MS + (settings.redis === "memory:" ? 0 : settings.drainMs));
  const logOf = (part: string) => createLog({ level: settings.logLevel, format: settings.logFormat, part });
  const log = logOf(name);
  const registry = createRegistry();
  let parts: RunningParts | undefined;
  await using stack = new AsyncDisposableStack();
  const waitingFor = new Set<string>();
  const ready = () => parts?.notReady() ?? (waitingFor.size > 0 ? [...waitingFor] : ["starting"]);
  const metrics = stack.use(await startMetricsServer({ listen: settings.metricsListen, registry, ready, log }));
  try {
    parts = stack.use(await start({ settings, clock: systemClock, logOf, registry, signal: stop, waitingFor }));
  } catch (error) {
    if (stop.aborted && error === stop.reason) return 0; // stopped while it waited for a backend
    throw error;
  }
  const { gateway, manager, secrets } = parts;
  const started = { settings, http: gateway?.address, grpc: manager?.address, metrics: metrics.address, secrets, terminal: io.terminal };
  for (const line of startLines(started)) io.print(line);
  await aborted(manager === undefined ? stop : AbortSignal.any([stop, manager.failed]));
  if (manager?.failed.aborted === true) throw manager.failed.reason;
  log.info({}, "stopping");
  return 0;
}

export type Started = Readonly<{
  settings: Pick<Settings, "admin" | "authEnabled" | "dashboard"> & Readonly<{ tls: Pick<Settings["tls"], "cert"> }>;
  http: ListenAddress | undefined;
  /** host:port */
  grpc: string | undefined;
  metrics: ListenAddress | undefined;
  secrets: Pick<Secrets, "adminPassword" | "passwordFile"> | undefined;
  terminal: boolean;
}>;

/**
 * The lines that a start prints: addresses, and how to log in. A password is shown only on a terminal, by the start
 * that generated it.
 */
export function startLines({ settings, http, grpc, metrics, secrets, terminal }: Started): string[] {
  const rows: [string, string][] = [];
  const secure = settings.tls.cert !== undefined;
  const web = http === undefined ? "" : `${secure ? "https" : "http"}://${formatAddress(http)}`;
  if (http !== undefined && settings.dashboard) rows.push(["dashboard", `${web}/ui/`]);
  if (http !== undefined) rows.push(["API, as JSON over HTTP", web]);
  if (grpc !== undefined) rows.push(["API, as gRPC, and workers", secure ? `grpcs://${grpc}` : grpc]);
  if (metrics !== undefined) rows.push(["metrics", `http://${formatAddress(metrics)}/metrics`]);
  if (secrets !== undefined) rows.push(["login", loginLine(loginOf(settings, secrets, terminal))]);
  const width = Math.max(0, ...rows.map(([name]) => name.length));
  return [`Nebula ${VERSION} is up.`, ...rows.map(([name, text]) => `  ${name.padEnd(width)}  ${text}`)];
}

type Login = Readonly<
  | { kind: "off" }
  | { kind: "given"; user: string }
  | { kind: "shown"; user: string; password: string; path: string }
  | { kind: "kept"; user: string; path: string }
>;

function loginOf(
  { admin, authEnabled }: Started["settings"],
  { adminPassword, passwordFile }: NonNullable<Started["secrets"]>,
  terminal: boolean,
): Login {
  if (!authEnabled) return { kind: "off" };
  if (passwordFile === undefined) return { kind: "given", user: admin.user };
  const { path, made } = passwordFile;
  return made && terminal ? { kind: "shown", user: admin.user, password: adminPassword, path } : { kind: "kept", user: admin.user, path };
}

function loginLine(login: Login): string {
  switch (login.kind) {
    case "off":
      return "none: everybody is admin";
    case "given":
      return `${login.user}, with the password that was given`;
    case "shown":
      return `${login.user}, password ${login.password} (shown only once; kept in ${login.path})`;
    case "kept":
      return `${login.user}, password in ${login.path}`;
    default:
      return assertNever(login);
  }
}
