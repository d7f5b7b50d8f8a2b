import { rm } from "node:fs/promises";
import type { Registry } from "prom-client";
import type { Clock } from "../../../../common/clock/clock.ts";
import { TurnTaking } from "../../../../common/clock/turn-taking.ts";
import type { Drivers } from "../../../../common/drivers.ts";
import { NebulaError } from "../../../../common/errors/nebula-error.ts";
import { openClusterKey, openSecrets, type Secrets } from "../../../../common/keys/key-files.ts";
import { openFilesLimit, sharedLimits } from "../../../../common/listen/open-files.ts";
import type { Log } from "../../../../common/log/log.ts";
import { GATEWAY_DRIVERS, MANAGER_DRIVERS, type OpenedDrivers, openDrivers, REPORTER_DRIVERS } from "../../../../common/open-drivers.ts";
import type { ListenAddress, Settings } from "../../../../common/settings/settings.ts";
import { NO_MANAGER, type RunningGateway, startGateway } from "../../../../gateway/main.ts";
import { type RunningManager, startManager } from "../../../../manager/main.ts";
import { type Reporter, startReporter } from "../../../../reporter/main.ts";
import { keepMarked } from "./mark-running.ts";

export type StartOptions = Readonly<{
  settings: Settings;
  clock: Clock;
  /** The log of a part, by its name. */
  logOf: (part: string) => Log;
  registry: Registry;
  /** Ends the wait for a backend that is absent at the start. */
  signal?: AbortSignal;
  /** Each backend that is waited for, one sentence. */
  waitingFor?: Set<string>;
}>;

/** One or several parts in this process; disposing stops them in order, and closes what they used. */
export type RunningParts = AsyncDisposable &
  Readonly<{
    manager: RunningManager | undefined;
    gateway: RunningGateway | undefined;
    reporter: Reporter | undefined;
    /** Of a manager: what its callers are known by. */
    secrets: Secrets | undefined;
    /** The things that are not ready yet, one word or sentence each. */
    notReady: () => readonly string[];
  }>;

/** How long each part may take to stop, milliseconds. */
const STOP_MS = 4000;

/**
 * Starts manager, gateway and reporter in this process, on drivers that are opened once: the manager uses those of all.
 */
export async function startServer(given: StartOptions): Promise<RunningParts> {
  const { grpc, http } = sharedLimits(given.settings.grpcConnections, given.settings.httpConnections, openFilesLimit());
  const settings = { ...given.settings, grpcConnections: grpc, httpConnections: http };
  const options = { ...given, settings };
  await using opening = new AsyncDisposableStack();
  const drivers = opening.use(await open(MANAGER_DRIVERS, options));
  opening.use(await openMark("server", options, drivers));
  const secrets = await openSecrets(settings);
  await using forget = new AsyncDisposableStack();
  forget.defer(() => forgetPassword(secrets));
  const turns = new TurnTaking(options);
  const reporter = opening.use(await openReporter({ ...options, turns }, drivers));
  const manager = opening.use(await openManager({ ...options, turns }, drivers, secrets));
  const grpcListen = boundAddress(settings, manager);
  const gateway = opening.use(await openGateway({ ...options, settings: { ...settings, grpcListen } }, secrets, drivers));
  forget.move();
  return running({ manager, gateway, reporter, secrets }, opening.move());
}

/** Starts a manager alone. */
export async function startManagerAlone(options: StartOptions): Promise<RunningParts> {
  await using opening = new AsyncDisposableStack();
  const drivers = opening.use(await open(MANAGER_DRIVERS, options));
  opening.use(await openMark("manager", options, drivers));
  const secrets = await openSecrets(options.settings);
  await using forget = new AsyncDisposableStack();
  forget.defer(() => forgetPassword(secrets));
  const manager = opening.use(await openManager(options, drivers, secrets));
  forget.move();
  return running({ manager, secrets }, opening.move());
}

/** Starts a gateway alone. */
export async function startGatewayAlone(options: StartOptions): Promise<RunningParts> {
  await using opening = new AsyncDisposableStack();
  const drivers = opening.use(await open(GATEWAY_DRIVERS, options));
  const gateway = opening.use(await openGateway(options, { clusterKey: await openClusterKey(options.settings) }, drivers));
  return running({ gateway }, opening.move());
}

/**
 * Starts a reporter alone.
 * @throws NebulaError invalid_argument for a bus that no other process writes to
 */
export async function startReporterAlone(options: StartOptions): Promise<RunningParts> {
  if (options.settings.bus === "memory:") {
    const why = "a reporter by itself reads reports of other processes";
    throw new NebulaError("invalid_argument", `invalid NEBULA_BUS "memory:": ${why}; use kafka://host:9092/nebula-reports`);
  }
  await using opening = new AsyncDisposableStack();
  const drivers = opening.use(await open(REPORTER_DRIVERS, options));
  opening.use(await openMark("reporter", options, drivers));
  const reporter = opening.use(await openReporter(options, drivers));
  return running({ reporter }, opening.move());
}

function open<Name extends keyof Drivers>(names: readonly Name[], { logOf, ...options }: StartOptions): Promise<OpenedDrivers<Name>> {
  return openDrivers(names, { ...options, log: logOf("drivers"), clusterKey: () => openClusterKey(options.settings) });
}

function openMark(part: string, { clock, logOf }: StartOptions, { configStore }: Pick<Drivers, "configStore">): Promise<AsyncDisposable> {
  return keepMarked(configStore, part, { clock, log: logOf("drivers") });
}

/** Options of a part that shares the event loop with another one. */
type Sharing = StartOptions & Readonly<{ turns?: TurnTaking }>;

function openManager(options: Sharing, drivers: OpenedDrivers, secrets: Secrets): Promise<RunningManager> {
  return startManager({ ...options, log: options.logOf("manager"), drivers, secrets, tuning: { stopMs: STOP_MS } });
}

function openGateway(options: StartOptions, secrets: { clusterKey: string }, { changeFeed }: Pick<Drivers, "changeFeed">): Promise<RunningGateway> {
  return startGateway({ ...options, log: options.logOf("gateway"), secrets, changeFeed, stopMs: STOP_MS });
}

function openReporter(options: Sharing, drivers: OpenedDrivers<(typeof REPORTER_DRIVERS)[number]>): Promise<Reporter> {
  return startReporter({ ...options, log: options.logOf("reporter"), drivers });
}

/** Where the manager listens, with the port as bound: what the gateway of its process dials. */
function boundAddress({ grpcListen }: Settings, { address }: RunningManager): ListenAddress {
  return { host: grpcListen.host, port: Number(address.slice(address.lastIndexOf(":") + 1)) };
}

/**
 * Removes a password that a failed start generated: it was never shown, so the next start generates and shows another.
 */
async function forgetPassword({ passwordFile }: Secrets): Promise<void> {
  if (passwordFile?.made === true) await rm(passwordFile.path, { force: true });
}

function running(parts: Partial<Omit<RunningParts, "notReady">>, opened: AsyncDisposableStack): RunningParts {
  const { manager, gateway, reporter, secrets } = parts;
  return {
    manager,
    gateway,
    reporter,
    secrets,
    notReady: () => [
      ...(manager?.notReady ?? []).map((missing) => `manager: ${missing}`),
      ...(gateway === undefined || gateway.ready ? [] : [NO_MANAGER]),
      ...(reporter?.notReady ?? []).map((missing) => `reporter: ${missing}`),
    ],
    [Symbol.asyncDispose]: () => opened.disposeAsync(),
  };
}
