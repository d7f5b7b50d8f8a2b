import { strict as assert } from "node:assert";
import { create, fromBinary, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { credentials } from "@grpc/grpc-js";
import { Registry } from "prom-client";
import { createMemoryLoginCounts } from "../../common/access/login-counts.ts";
import type { Clock } from "../../common/clock/clock.ts";
import { systemClock } from "../../common/clock/system-clock.ts";
import { TurnTaking } from "../../common/clock/turn-taking.ts";
import type { ChangeFeed } from "../../common/feed/change-feed.ts";
import { createMemoryFeed } from "../../common/feed/memory-feed.ts";
import { silentLog } from "../../common/log/log.ts";
import type { Membership } from "../../common/membership/membership.ts";
import { createMemoryMembership } from "../../common/membership/memory-membership.ts";
import { GrpcChannel } from "../../common/rpc/grpc-channel.ts";
import { deriveSecretKeys } from "../../common/secrets/secret-keys.ts";
import type { AccessStore } from "../../common/storage/access-store.ts";
import type { ClusterIdentity, ConfigStore, EntityKey, EntityWrite } from "../../common/storage/config-store.ts";
import { createMemoryConfigCache } from "../../common/storage/memory/config-cache.ts";
import { openSqliteAccessStore } from "../../common/storage/sqlite/access/access-store.ts";
import { openSqliteConfigStore } from "../../common/storage/sqlite/config-store.ts";
import { openSqliteReportStore } from "../../common/storage/sqlite/reports/report-store.ts";
import { createMemoryPolledMarks, type PolledMarks } from "../../common/v2/polled-marks.ts";
import { AppSchema } from "../../gen/nebula/v1/app_pb.ts";
import type { AuditEntry } from "../../gen/nebula/v1/audit_pb.ts";
import { ConfigService, type WatchConfigRequestSchema, type WatchConfigResponse } from "../../gen/nebula/v1/config_pb.ts";
import { DeviceGroupSchema } from "../../gen/nebula/v1/device_group_pb.ts";
import type { Device } from "../../gen/nebula/v1/device_pb.ts";
import { BusRecordSchema, type Report, ReportService } from "../../gen/nebula/v1/report_pb.ts";
import { createAccess } from "../access/access.ts";
import { createGate } from "../access/gate.ts";
import { createReportLimits } from "../access/limits/report-limits.ts";
import { PresentGroups } from "../access/present-groups.ts";
import type { PresenceWriter } from "../insight/presence/presence-writer.ts";
import { Connections } from "../listen/connections.ts";
import { openListeners } from "../listen/listeners.ts";
import { createGrpcServer } from "../rpc/grpc-server.ts";
import { createRpcMetrics } from "../rpc/rpc-metrics.ts";
import { serveUnary } from "../rpc/serve-unary.ts";
import { createReportServiceHandlers } from "../services/report-service.ts";
import { createOwnership } from "../watch/ownership.ts";
import { ReportsOnWatch } from "../watch/reports-on-watch.ts";
import { serveWatch, WATCH_PATHS } from "../watch/serve-watch.ts";
import { RawStreams, watchInterceptor } from "../watch/watch-call.ts";
import { WatchHub } from "../watch/watch-hub.ts";
import { createWatchMetrics } from "../watch/watch-metrics.ts";
import { keepAudit } from "./kept-audit.ts";
import { TEST_PAGES } from "./test-access.ts";

/** Announcements that wait at most in the feed. */
const MOST_WAITING = 1000;

export const RIG_CLUSTER_KEY = "cluster key of a test";

export type WatchRequest = Partial<Exclude<MessageInitShape<typeof WatchConfigRequestSchema>, { $typeName: string }>>;

export type RigOptions = Readonly<{
  clock?: Clock;
  cacheTimeMs?: number;
  /** Puts something between access and its store. */
  wrapAccessStore?: (store: AccessStore) => AccessStore;
  membership?: Membership;
  redirect?: boolean;
  polledMarks?: PolledMarks;
  /** Whether a credential is needed; otherwise every call is the local admin's. */
  auth?: boolean;
  /** Puts something between the hub and the store. */
  wrapStore?: (store: ConfigStore) => ConfigStore;
  silence?: { everyMs: number; answerMs: number };
  rawStreams?: RawStreams;
  presence?: Pick<PresenceWriter, "opened" | "closed">;
  onClusterChanged?: (found: ClusterIdentity) => void;
  turns?: TurnTaking;
  /** Takes a report in place of a bus that keeps it. */
  publish?: (report: Report) => Promise<void>;
}>;

/** Reports that the rig's bus got: how many were being published at once at most, too. */
type Published = { readonly reports: Report[]; atOnce: number; mostAtOnce: number };

/** The watch as the manager has it, on a real listener, with real streams, and nothing else around it. */
export class WatchRig implements AsyncDisposable {
  readonly store: ConfigStore;
  readonly accessStore: AccessStore;
  readonly hub: WatchHub;
  readonly port: number;
  readonly registry: Registry;
  /** The newest status of devices, by device_id. */
  readonly devices: Map<string, Device>;
  /** The entries that the audit log got. */
  readonly audited: readonly AuditEntry[];
  readonly published: Published;
  /** Reports on watches. */
  readonly reports: ReportsOnWatch;
  /** Whether announcements get lost. */
  feedLoses = false;
  readonly #feed: ChangeFeed;
  readonly #stack: AsyncDisposableStack;
  readonly #revisions = new Map<string, bigint>();

  constructor(parts: {
    store: ConfigStore;
    accessStore: AccessStore;
    hub: WatchHub;
    port: number;
    registry: Registry;
    feed: ChangeFeed;
    devices: Map<string, Device>;
    audited: readonly AuditEntry[];
    published: Published;
    reports: ReportsOnWatch;
    stack: AsyncDisposableStack;
  }) {
    this.store = parts.store;
    this.accessStore = parts.accessStore;
    this.hub = parts.hub;
    this.port = parts.port;
    this.registry = parts.registry;
    this.devices = parts.devices;
    this.audited = parts.audited;
    this.published = parts.published;
    this.reports = parts.reports;
    this.#feed = parts.feed;
    this.#stack = parts.stack;
  }

  /** A client's channel; its calls are the local admin's. */
  channel(): GrpcChannel {
    return this.#stack.use(new GrpcChannel(`127.0.0.1:${this.port}`, credentials.createInsecure()));
  }

  /** A watch as a device would have it. */
  watch(request: WatchRequest, channel = this.channel(), headers: Readonly<Record<string, string>> = {}): TestWatch {
    return new TestWatch(channel, { deviceGroup: "g", deviceId: "", boot: "b", ...request }, headers);
  }

  /** Announces that what a credential may do changed, unless announcements get lost. */
  async accessChanged(subject: string): Promise<void> {
    if (!this.feedLoses) await this.#feed.publish({ kind: "access", subject });
  }

  /** Has the feed break: it loses announcements, and emits a gap. */
  breakFeed(): void {
    for (let lost = 0; lost <= MOST_WAITING; lost++) this.#feed.publish({ kind: "access", subject: "user/filler" });
  }

  putApp(name: string, image: string): Promise<bigint> {
    return this.#put({ kind: "app", name }, toBinary(AppSchema, create(AppSchema, { name, dockerImage: image })));
  }

  putGroup(name: string, apps: readonly string[], spread = 0): Promise<bigint> {
    const body = toBinary(DeviceGroupSchema, create(DeviceGroupSchema, { name, apps: [...apps], pruneId: 1n, spread }));
    return this.#put({ kind: "device_group", name }, body, { apps, cronJobs: [] });
  }

  async remove(key: EntityKey): Promise<bigint> {
    const stored = await this.store.get(key);
    return this.#put(key, stored?.body ?? new Uint8Array(), { apps: [], cronJobs: [] }, true);
  }

  async #put(key: EntityKey, body: Uint8Array, members?: EntityWrite["members"], deleted = false): Promise<bigint> {
    const id = `${key.kind}/${key.name}`;
    const expected = this.#revisions.get(id) ?? 0n;
    const revision = expected + 1n;
    const change = { deleted, body, action: deleted ? ("delete" as const) : ("update" as const), changedAt: 0, changedBy: "test" };
    const outcome = await this.store.write({ ...key, ...change, expected, revision, ...(members === undefined ? {} : { members }) });
    if (outcome.kind !== "written") throw new Error(`${id}: ${outcome.kind}`);
    this.#revisions.set(id, revision);
    if (!this.feedLoses) await this.#feed.publish({ kind: "entity", entity: key, revision });
    return revision;
  }

  /** A figure of the hub's metrics, the sum over all its labels. */
  async metric(name: string): Promise<number> {
    const metric = await this.registry.getSingleMetric(name)?.get();
    return (metric?.values ?? []).reduce((sum, { value }) => sum + value, 0);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stack.disposeAsync();
  }
}

export async function startWatchRig(options: RigOptions = {}): Promise<WatchRig> {
  await using stack = new AsyncDisposableStack();
  const clock = options.clock ?? systemClock;
  const log = silentLog;
  const registry = new Registry();
  const store = stack.use(await openSqliteConfigStore({ path: ":memory:" }));
  const configStore = options.wrapStore?.(store) ?? store;
  const cacheTimeMs = options.cacheTimeMs ?? 60_000;
  const configCache = stack.use(createMemoryConfigCache({ ttlMs: cacheTimeMs, clock }));
  const feed = stack.use(createMemoryFeed({ log, maxWaiting: MOST_WAITING }));
  const membership = options.membership ?? createMemoryMembership();
  const accessStore = stack.use(await openSqliteAccessStore({ path: ":memory:" }));
  const devices = new Map<string, Device>();
  const life = new AbortController();
  const ownership = createOwnership({ membership, address: () => "self:1", redirect: options.redirect ?? true, signal: life.signal });
  const access = createAccess({
    enabled: options.auth ?? false,
    clusterKey: RIG_CLUSTER_KEY,
    admin: { user: "admin", password: "secret", token: undefined },
    drivers: { accessStore: options.wrapAccessStore?.(accessStore) ?? accessStore, changeFeed: feed, loginCounts: createMemoryLoginCounts() },
    clock,
    log,
    everyMs: cacheTimeMs,
    signal: life.signal,
  });
  stack.defer(() => {
    life.abort();
    return access.generations.done;
  });
  const hub: WatchHub = new WatchHub({
    configStore,
    configCache,
    changeFeed: feed,
    secretKeys: deriveSecretKeys(RIG_CLUSTER_KEY),
    ownership,
    polledMarks: options.polledMarks ?? createMemoryPolledMarks(),
    presence: options.presence ?? { opened() {}, closed() {} },
    access,
    clock,
    log,
    cacheTimeMs,
    onClusterChanged: options.onClusterChanged ?? (() => assert.fail("the cluster has changed")),
    metrics: createWatchMetrics(registry, {
      streams: () => hub.streams,
      groups: () => hub.groups,
      leaving: () => hub.leaving,
      queued: () => hub.queued,
      ownership,
    }),
    turns: options.turns ?? new TurnTaking({ clock: systemClock }),
    tuning: { batch: 64, silence: options.silence ?? { everyMs: 5000, answerMs: 30_000 } },
  });
  const gate = createGate(access.authenticate);
  const connections = new Connections();
  const rawStreams = stack.use(options.rawStreams ?? new RawStreams(WATCH_PATHS));
  const audit = keepAudit();
  const presentGroups = new PresentGroups({ accessStore, reportStore: { getDevice: async (deviceId) => devices.get(deviceId) }, clock, cacheTimeMs });
  const rpc = { gate, audit: stack.use(audit.audit), metrics: createRpcMetrics(registry), clock, log };
  const open = serveWatch({ hub, connections, presentGroups, ...rpc });
  const published: Published = { reports: [], atOnce: 0, mostAtOnce: 0 };
  const reportBus = {
    async publish({ value }: { value: Uint8Array }) {
      const { record } = fromBinary(BusRecordSchema, value);
      if (record.case !== "report") throw new Error(`the bus got a ${record.case}`);
      published.mostAtOnce = Math.max(published.mostAtOnce, ++published.atOnce);
      try {
        await options.publish?.(record.value);
        published.reports.push(record.value);
      } finally {
        published.atOnce--;
      }
    },
  };
  const reportStore = stack.use(await openSqliteReportStore({ path: ":memory:" }));
  const reportLimits = createReportLimits({ reportStore, configStore, mostDevices: 1000, clock });
  const { submitReports } = createReportServiceHandlers({
    visiblePages: TEST_PAGES,
    reportBus,
    reportStore,
    presentGroups,
    reportLimits,
    clock,
    log,
  });
  const reports = new ReportsOnWatch({ ...rpc, submit: submitReports, renew: (login) => hub.renew(login) });
  const { watchConfig, watchAndReport } = ConfigService.method;
  const taken = [
    { method: watchConfig, reports: undefined },
    { method: watchAndReport, reports },
  ];
  const { server, injector } = createGrpcServer(
    [
      { service: ConfigService, methods: {} },
      { service: ReportService, methods: { submitReports: serveUnary(ReportService.method.submitReports, submitReports, rpc) } },
    ],
    [watchInterceptor(taken, rawStreams, open)],
  );
  const listeners = await openListeners({ host: "127.0.0.1", port: 0 }, { listeners: 1, backlog: 100, log }, (socket) => {
    connections.add(socket);
    injector.injectConnection(socket);
  });
  stack.defer(async () => {
    listeners.close();
    await hub.stop();
    connections.destroyAll();
    await new Promise<void>((resolve) => server.tryShutdown(() => resolve()));
  });
  return new WatchRig({
    store,
    accessStore,
    hub,
    port: listeners.port,
    registry,
    feed,
    devices,
    audited: audit.entries,
    published,
    reports,
    stack: stack.move(),
  });
}

type Answer = WatchConfigResponse["answer"];

/** A watch of a test: its answers, as they come. */
export class TestWatch {
  readonly answers: Answer[] = [];
  readonly #gone = new AbortController();
  /** Resolves when the stream is over, to the error that ended it, if one did. */
  readonly ended: Promise<unknown>;

  constructor(channel: GrpcChannel, request: WatchRequest, headers: Readonly<Record<string, string>> = {}) {
    this.ended = this.#read(channel, request, headers);
  }

  async #read(channel: GrpcChannel, request: WatchRequest, headers: Readonly<Record<string, string>>): Promise<unknown> {
    try {
      for await (const { answer } of channel.serverStream(ConfigService.method.watchConfig, request, { signal: this.#gone.signal, headers }))
        this.answers.push(answer);
      return undefined;
    } catch (error) {
      return error;
    }
  }

  /** The answers, in short: image@app-revision of the first app, or the kind of answer. */
  get heard(): string[] {
    return this.answers.map((answer) => {
      if (answer.case !== "config") return answer.case ?? "nothing";
      return (answer.value.config?.apps ?? []).map(({ app, revision }) => `${app?.dockerImage ?? "none"}@${revision}`).join(" ");
    });
  }

  get last(): string | undefined {
    return this.heard.at(-1);
  }

  close(): void {
    this.#gone.abort();
  }
}
