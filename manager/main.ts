/**
 * The manager: one shard of the gRPC API, and the watches of its device_groups.
 *
 * `startManager` opens the listeners and nothing else; drivers come opened. A manager alone in a process, for a bench or a test:
 *
 *   await using drivers = await openDrivers(MANAGER_DRIVERS, { settings, clock: systemClock, log });
 *   await using manager = await startManager({ settings, secrets: { clusterKey, adminPassword, adminToken }, drivers, clock: systemClock, log, registry: new Registry() });
 *
 * `settings` are the part of Settings named ManagerSettings; port 0 takes a free one, and `manager.address` says which. NODE_OPTIONS that suit very many
 * devices: --max-semi-space-size=16. The open files limit is the number of devices.
 */
import { randomBytes } from "node:crypto";
import type { Socket } from "node:net";
import { hostname } from "node:os";
import type { Server } from "@grpc/grpc-js";
import type { Registry } from "prom-client";
import type { Clock } from "../common/clock/clock.ts";
import { TurnTaking } from "../common/clock/turn-taking.ts";
import type { Drivers } from "../common/drivers.ts";
import { NebulaError } from "../common/errors/nebula-error.ts";
import { ConnectionLimiter } from "../common/listen/connection-limiter.ts";
import { openFilesLimit, withinOpenFiles } from "../common/listen/open-files.ts";
import type { Log } from "../common/log/log.ts";
import { RENEW_MS } from "../common/membership/membership.ts";
import { formatAddress } from "../common/net/address.ts";
import { pathOf } from "../common/rpc/service-definition.ts";
import { deriveSecretKeys } from "../common/secrets/secret-keys.ts";
import type { Settings } from "../common/settings/settings.ts";
import type { ClusterIdentity } from "../common/storage/config-store.ts";
import { ServerTls } from "../common/tls/server-tls.ts";
import { VERSION } from "../common/version.ts";
import { ConfigService } from "../gen/nebula/v1/config_pb.ts";
import { createAccess } from "./access/access.ts";
import { createGate } from "./access/gate.ts";
import { PresentGroups } from "./access/present-groups.ts";
import { expireSessions, SESSION_TTL_MS } from "./access/sessions.ts";
import { createAudit, expireAudit } from "./audit/audit.ts";
import { runDeviceMetrics } from "./insight/device-metrics.ts";
import { DeviceConnections } from "./insight/presence/device-connections.ts";
import { createPresenceMetrics } from "./insight/presence/presence-metrics.ts";
import { sweepPresence } from "./insight/presence/presence-sweep.ts";
import { PresenceWriter } from "./insight/presence/presence-writer.ts";
import { createGroupViews, KEPT_MS } from "./insight/views/group-views.ts";
import { createAccept, Newcomers } from "./listen/accept.ts";
import { createCallLogins, notingLogins } from "./listen/call-logins.ts";
import { Connections } from "./listen/connections.ts";
import { joinShards, shardOf } from "./listen/join.ts";
import { LISTENERS_HERE, openListeners } from "./listen/listeners.ts";
import { UnfinishedCalls } from "./listen/unfinished-calls.ts";
import { createGrpcServer } from "./rpc/grpc-server.ts";
import { createRpcMetrics } from "./rpc/rpc-metrics.ts";
import { ServerStreams } from "./rpc/serve-stream.ts";
import { createServedServices } from "./services/served-services.ts";
import { StoreHealth } from "./store-health.ts";
import { createOwnership } from "./watch/ownership.ts";
import { ReportsOnWatch } from "./watch/reports-on-watch.ts";
import { serveWatch, WATCH_PATHS } from "./watch/serve-watch.ts";
import { RawStreams, watchInterceptor } from "./watch/watch-call.ts";
import { WatchHub } from "./watch/watch-hub.ts";
import { createWatchMetrics } from "./watch/watch-metrics.ts";

export type ManagerSettings = Pick<
  Settings,
  "grpcListen" | "grpcAdvertise" | "redirect" | "cacheTimeMs" | "authEnabled" | "auditRetentionMs" | "maxDevicesPerGroup"
> & {
  readonly admin: Pick<Settings["admin"], "user">;
} & Partial<Pick<Settings, "shard" | "drainMs" | "tls" | "grpcConnections" | "insecureNoAuth" | "sessionTtlMs">>;

/** Values that a bench or a test may want otherwise. */
export type ManagerTuning = Readonly<{
  /** Listeners that share the port; more than 1 on Linux alone. */
  listeners: number;
  /** Connections that wait to be accepted, per listener. */
  backlog: number;
  /** Streams that a push writes to in one turn of the event loop. */
  batch: number;
  /** How often connections are looked at for silence, and how long after a push one has to be heard from. Milliseconds. */
  silence: Readonly<{ everyMs: number; answerMs: number }>;
  /** How long a stop waits for calls in flight, milliseconds. */
  stopMs: number;
  /** Whether it writes which devices are connected. */
  presence: boolean;
  /** How long the mirror of a device_group is kept after its last reader, milliseconds. */
  mirrorKeptMs: number;
}>;

const UNLIMITED = { inAll: Number.POSITIVE_INFINITY, perAddress: Number.POSITIVE_INFINITY };

const TUNING: ManagerTuning = {
  listeners: LISTENERS_HERE,
  backlog: 65_535,
  batch: 32,
  silence: { everyMs: 5000, answerMs: 30_000 },
  stopMs: 10_000,
  presence: true,
  mirrorKeptMs: KEPT_MS,
};

export type ManagerOptions = Readonly<{
  settings: ManagerSettings;
  secrets: Readonly<{ clusterKey: string; adminPassword: string; adminToken?: string | undefined }>;
  drivers: Drivers;
  clock: Clock;
  log: Log;
  registry: Registry;
  /** By which fan-outs and reports share the event loop: the same as of a reporter in this process. */
  turns?: TurnTaking;
  tuning?: Partial<ManagerTuning>;
}>;

export type RunningManager = AsyncDisposable & {
  /** The listen address, host:port, with the bound port. */
  readonly address: string;
  /** Open watches. */
  readonly watches: number;
  /** Aborted, with a NebulaError as its reason, when this manager must not go on: the store is of another cluster or epoch than it was. */
  readonly failed: AbortSignal;
  /** The reasons why it is not ready; empty: it is ready. */
  readonly notReady: readonly string[];
  /**
   * Leaves the membership and hands the watches to the other shards, within NEBULA_DRAIN; ends the rest with a hint to come back, lets calls in flight finish,
   * then closes, within `stopMs` in any case. The drivers stay open.
   */
  stop(): Promise<void>;
};

/** Starts a manager. Rejects with `failed_precondition` when its address is taken, or a file of TLS is wrong. */
export async function startManager({
  settings,
  secrets,
  drivers,
  clock,
  log,
  registry,
  turns = new TurnTaking({ clock }),
  tuning: wanted = {},
}: ManagerOptions): Promise<RunningManager> {
  const tuning = { ...TUNING, ...wanted };
  await using starting = new AsyncDisposableStack(); // what is open when a start fails
  const audit = starting.use(createAudit({ accessStore: drivers.accessStore, clock, log, registry })); // closed last: every call is over by then
  const life = new AbortController();
  const failed = new AbortController();
  const access = createAccess({
    enabled: settings.authEnabled,
    openToOthers: settings.insecureNoAuth ?? false,
    clusterKey: secrets.clusterKey,
    admin: { user: settings.admin.user, password: secrets.adminPassword, token: secrets.adminToken },
    drivers,
    clock,
    log,
    everyMs: settings.cacheTimeMs,
    signal: life.signal,
  });
  starting.defer(() => {
    life.abort();
    return access.generations.done; // the store is the caller's to close
  });
  const authenticate = notingLogins(access.authenticate, (peer) => unfinished.loggedIn(peer));
  const rpc = { gate: createGate(authenticate), audit, metrics: createRpcMetrics(registry), clock, log };
  const streams = new ServerStreams({ ...rpc, generations: access.generations, registry });
  const presentGroups = new PresentGroups({ ...drivers, clock, cacheTimeMs: settings.cacheTimeMs });
  const connections = new Connections();
  const rawStreams = starting.use(new RawStreams(WATCH_PATHS));
  let advertised = "";
  const ownership = createOwnership({
    membership: drivers.membership,
    address: () => advertised,
    redirect: settings.redirect,
    signal: life.signal,
  });
  const storeHealth = new StoreHealth({ ...drivers, clock, log, found: onStoreLooked });
  function onStoreLooked(impaired: boolean): void {
    drivers.membership.setImpaired(impaired);
    health.refresh();
  }
  const secretKeys = deriveSecretKeys(secrets.clusterKey);
  const boot = randomBytes(9).toString("base64url");
  const presence: PresenceWriter = new PresenceWriter({
    store: drivers.reportStore,
    changeFeed: drivers.changeFeed,
    boot,
    clock,
    log,
    metrics: createPresenceMetrics(registry, { online: () => presence.online, waiting: () => presence.waiting }),
  });
  starting.defer(() => presence.stop(PRESENCE_STOP_MS));
  const mirrors = { store: drivers.reportStore, feed: drivers.changeFeed, ownBoot: boot, keptMs: tuning.mirrorKeptMs, clock, log, registry };
  const groupViews = starting.use(createGroupViews(mirrors));
  const deviceConnections = new DeviceConnections({ store: drivers.reportStore, ownBoot: boot, clock });
  const hub: WatchHub = new WatchHub({
    ...drivers,
    secretKeys,
    ownership,
    access,
    clock,
    log,
    metrics: createWatchMetrics(registry, {
      streams: () => hub.streams,
      groups: () => hub.groups,
      leaving: () => hub.leaving,
      queued: () => hub.queued,
      ownership,
    }),
    presence: tuning.presence ? presence : NO_PRESENCE,
    cacheTimeMs: settings.cacheTimeMs,
    onClusterChanged: (found) => failed.abort(clusterChanged(drivers.configStore.cluster, found)),
    turns,
    tuning,
  });
  starting.defer(() => hub.stop());
  const { services, health, submitReports } = createServedServices({
    drivers,
    ownership,
    rpc,
    streams,
    groupViews,
    ...access,
    sessionTtlMs: settings.sessionTtlMs ?? SESSION_TTL_MS,
    presentGroups,
    deviceConnections,
    mostDevices: settings.maxDevicesPerGroup,
    secretKeys,
    localAdmin: settings.admin.user,
    clock,
    log,
    registry,
    stopped: life.signal,
    watches: () => hub.streams,
    spreadOf: (deviceGroup) => hub.spreadOf(deviceGroup),
    cacheTimeMs: settings.cacheTimeMs,
    storeServing: () => storeHealth.serving,
    isPolled: (deviceGroup) => hub.isPolled(deviceGroup),
    turns,
  });
  const reports = new ReportsOnWatch({ ...rpc, submit: submitReports, renew: (login) => hub.renew(login) });
  const { watchConfig, watchAndReport } = ConfigService.method;
  const methods = [
    { method: watchConfig, reports: undefined },
    { method: watchAndReport, reports },
  ];
  const watches = watchInterceptor(methods, rawStreams, serveWatch({ hub, connections, presentGroups, ...rpc }));
  const { server, injector } = createGrpcServer(services, [watches]);
  const streaming = new Set(
    services
      .flatMap(({ service }) => service.methods.filter(({ methodKind }) => methodKind === "server_streaming").map(pathOf))
      .concat(pathOf(watchAndReport)),
  );
  const logins = createCallLogins({ authenticate: access.authenticate, audit, clusterKey: secrets.clusterKey });
  const unfinished = starting.use(new UnfinishedCalls({ isOwn: (peer) => connections.of(peer) !== undefined, streaming, logins, clock }));

  const tls = await ServerTls.open(settings.tls, log);
  if (tls !== undefined) starting.use(tls);
  const limits = withinOpenFiles(settings.grpcConnections ?? UNLIMITED, openFilesLimit());
  const limiter = new ConnectionLimiter({ limits, name: "GRPC", log });
  const newcomers = new Newcomers(clock);
  const inject = (socket: Socket) => injector.injectConnection(socket);
  const accept = createAccept({ limiter, newcomers, connections, tls, inject, log });
  const listeners = await openListeners(settings.grpcListen, { ...tuning, log }, accept);
  const bound = { host: settings.grpcListen.host, port: listeners.port };
  const place = { bound, hostname: hostname(), boot };
  const { self, warning } = shardOf(settings, place, drivers.membership.alone);
  advertised = self.address;
  if (warning !== undefined) log.warn(warning);
  await joinShards(drivers.membership, self, log);
  presence.start(self);
  const address = formatAddress(bound);
  const members = drivers.membership.members().map(({ name, address: at }) => `${name} at ${at}`);
  log.info({ address, shard: self.name, advertised, cluster: drivers.configStore.cluster, members, version: VERSION }, "the manager listens");

  const { lost } = drivers.membership;
  const endForName = () => failed.abort(lost.reason);
  lost.addEventListener("abort", endForName, { once: true });
  starting.defer(() => lost.removeEventListener("abort", endForName));
  const looking = storeHealth.run(life.signal);
  void newcomers.watch(life.signal);
  void unfinished.watch(life.signal);
  void endIdleConnections(connections, clock, life.signal);
  const expiring = expireAudit({ accessStore: drivers.accessStore, retentionMs: settings.auditRetentionMs, clock, log }, life.signal);
  const ending = expireSessions({ accessStore: drivers.accessStore, clock, log }, life.signal);
  const sweeping = sweepPresence({ store: drivers.reportStore, deviceConnections, groups: () => hub.groupNames(), clock, log }, life.signal);
  const counting = runDeviceMetrics({ store: drivers.reportStore, membership: drivers.membership, clock, log, registry }, life.signal);
  starting.defer(() => {
    life.abort();
    return Promise.all([expiring, ending, looking, sweeping, counting]).then(() => {}); // the store is the caller's to close
  });

  const opened = starting.move();
  /** Hands every watch to the others, if there are any: they read that this shard has left before its devices come. */
  async function drainToOthers(): Promise<void> {
    const drainMs = settings.drainMs ?? 0;
    const others = ownership.members.filter((member) => member.boot !== boot);
    await drivers.membership.leave();
    if (others.length === 0 || drainMs === 0 || !settings.redirect || failed.signal.aborted) return;
    const began = clock.monotonic();
    log.info({ watches: hub.streams, others: others.length }, "the manager hands its devices over");
    await clock.sleep(Math.min(2 * RENEW_MS, drainMs / 2), life.signal).catch(() => {});
    await hub.drain(drainMs - (clock.monotonic() - began), life.signal);
  }

  async function stop(): Promise<void> {
    isStopping = true;
    health.stop();
    streams.stop();
    await drainToOthers();
    listeners.close();
    await hub.stop();
    await Promise.all([presence.stop(PRESENCE_STOP_MS), shutDown(server, connections, clock, tuning.stopMs)]);
    newcomers.endAll();
    await opened.disposeAsync();
    log.info("the manager has stopped");
  }

  let isStopping = false;
  let stopping: Promise<void> | undefined;
  const stopOnce = () => {
    stopping ??= stop();
    return stopping;
  };
  return {
    address,
    get watches() {
      return hub.streams;
    },
    failed: failed.signal,
    get notReady() {
      if (isStopping) return ["it is stopping"];
      const { self: joined, reachable } = drivers.membership;
      return [
        ...(storeHealth.read ? [] : ["the store was not read yet"]),
        ...(joined === undefined && reachable ? ["it has not joined the other shards yet"] : []),
      ];
    },
    stop: stopOnce,
    [Symbol.asyncDispose]: stopOnce,
  };
}

const NO_PRESENCE = { opened() {}, closed() {} };

/** How long a stop waits until the ends of its watches are in the store, milliseconds. */
const PRESENCE_STOP_MS = 3000;

/** After a restore, or with another store behind the same name, everything that this process knows is of another time. */
function clusterChanged(opened: ClusterIdentity, found: ClusterIdentity): NebulaError {
  const [before, now] = [opened, found].map(({ id, epoch }) => `cluster ${id}, epoch ${epoch}`);
  return new NebulaError("failed_precondition", `the store was ${before}, and is ${now} now: it was restored or replaced; start this manager again`);
}

/** Lets the calls in flight finish; connections that are not done after `withinMs` are cut. */
async function shutDown(server: Server, connections: Connections, clock: Clock, withinMs: number): Promise<void> {
  const done = new AbortController();
  const late = clock.sleep(withinMs, done.signal).then(
    () => connections.destroyAll(),
    () => {},
  );
  await new Promise<void>((resolve) => server.tryShutdown(() => resolve())); // which has each connection close after its last call, but waits for none
  await connections.empty();
  done.abort();
  await late;
}

/** Longer than any device's ping: a connection with a watch that fell silent is ended sooner, by the watch. */
const IDLE_CONNECTION_MS = 35 * 60_000;

async function endIdleConnections(connections: Connections, clock: Clock, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    await clock.sleep(IDLE_CONNECTION_MS, signal).catch(() => {});
    if (!signal.aborted) connections.endIdle();
  }
}
