import type { DescMethod, DescService } from "@bufbuild/protobuf";
import type { UntypedHandleCall } from "@grpc/grpc-js";
import type { Registry } from "prom-client";
import type { Clock } from "../../common/clock/clock.ts";
import type { TurnTaking } from "../../common/clock/turn-taking.ts";
import type { Drivers } from "../../common/drivers.ts";
import type { Log } from "../../common/log/log.ts";
import { receivedBytes } from "../../common/rpc/service-definition.ts";
import type { SecretKeys } from "../../common/secrets/secret-keys.ts";
import { VERSION } from "../../common/version.ts";
import { Health } from "../../gen/grpc/health/v1/health_pb.ts";
import { ServerReflection } from "../../gen/grpc/reflection/v1/reflection_pb.ts";
import { ServerReflection as ServerReflectionAlpha } from "../../gen/grpc/reflection/v1alpha/reflection_pb.ts";
import { AccessService } from "../../gen/nebula/v1/access_pb.ts";
import { AppService } from "../../gen/nebula/v1/app_pb.ts";
import { ApplyService } from "../../gen/nebula/v1/apply_pb.ts";
import { AuditService } from "../../gen/nebula/v1/audit_pb.ts";
import { ConfigService } from "../../gen/nebula/v1/config_pb.ts";
import { CronJobService } from "../../gen/nebula/v1/cron_job_pb.ts";
import { DeviceGroupService } from "../../gen/nebula/v1/device_group_pb.ts";
import { DeviceService } from "../../gen/nebula/v1/device_pb.ts";
import { DriftService } from "../../gen/nebula/v1/drift_pb.ts";
import { ExplainService } from "../../gen/nebula/v1/explain_pb.ts";
import { FleetService } from "../../gen/nebula/v1/fleet_pb.ts";
import { HistoryService } from "../../gen/nebula/v1/history_pb.ts";
import { PlanService } from "../../gen/nebula/v1/plan_pb.ts";
import { ReportService } from "../../gen/nebula/v1/report_pb.ts";
import { ShardService } from "../../gen/nebula/v1/shard_pb.ts";
import { StatusService } from "../../gen/nebula/v1/status_pb.ts";
import { UserGroupService } from "../../gen/nebula/v1/user_group_pb.ts";
import { UserService } from "../../gen/nebula/v1/user_pb.ts";
import type { Authenticate } from "../access/authenticate.ts";
import { createReportLimits } from "../access/limits/report-limits.ts";
import type { PresentGroups } from "../access/present-groups.ts";
import { ADMIN_RIGHTS } from "../access/rights/rights.ts";
import type { VisiblePages } from "../access/rights/visible-pages.ts";
import type { SessionBindings } from "../access/sessions.ts";
import type { StoredCredentials } from "../access/stored-credentials.ts";
import { createApplyServiceStreams } from "../insight/apply/watch-apply.ts";
import type { DeviceConnections } from "../insight/presence/device-connections.ts";
import type { GroupViews } from "../insight/views/group-view.ts";
import { createDriftServiceHandlers, createDriftServiceStreams } from "../insight/watch-drift.ts";
import type { CallContext, ServiceHandlers } from "../rpc/call-context.ts";
import { CallRoom, showCallRooms } from "../rpc/call-room.ts";
import type { ServedService } from "../rpc/grpc-server.ts";
import type { AnyStreamHandler, ServerStreams } from "../rpc/serve-stream.ts";
import { type AnyUnaryHandler, type RpcDeps, serveUnary } from "../rpc/serve-unary.ts";
import type { Ownership } from "../watch/ownership.ts";
import { createAccessCheck } from "./access-check.ts";
import { createAccessServiceHandlers } from "./access-service.ts";
import { createAuditServiceHandlers } from "./audit-service.ts";
import { createConfigServiceHandlers } from "./config-service.ts";
import { createDeviceServiceHandlers } from "./device-service.ts";
import { createFleetHandlers } from "./devices/fleet-handlers.ts";
import { FleetReader } from "./devices/fleet-reader.ts";
import { createAppServiceHandlers } from "./entities/app-service.ts";
import { createCronJobServiceHandlers } from "./entities/cron-job-service.ts";
import { createDeviceGroupServiceHandlers } from "./entities/device-group-service.ts";
import { createUserGroupServiceHandlers } from "./entities/user-group-service.ts";
import { createUserServiceHandlers } from "./entities/user-service.ts";
import { createExplainServiceHandlers } from "./explain-service.ts";
import { createFleetViews } from "./fleet/fleet-views.ts";
import { createFleetServiceHandlers, createFleetServiceStreams } from "./fleet/overview.ts";
import { HealthService } from "./grpc/health-service.ts";
import { ReflectionIndex } from "./grpc/reflection-index.ts";
import { serveReflection } from "./grpc/reflection-service.ts";
import { createHistoryServiceHandlers } from "./history-service.ts";
import { createPlanServiceHandlers } from "./plan-service.ts";
import { createReportServiceHandlers } from "./report-service.ts";
import { createSessionHandlers } from "./session-handlers.ts";
import { createShardServiceHandlers } from "./shard-service.ts";
import { createStatusServiceHandlers } from "./status-service.ts";

/** The handler of SubmitReports. */
type SubmitReports = ServiceHandlers<typeof ReportService>["submitReports"];

export type ServedServicesDeps = Readonly<{
  drivers: Drivers;
  ownership: Ownership;
  rpc: RpcDeps;
  streams: ServerStreams;
  groupViews: GroupViews;
  authenticate: Authenticate;
  stored: Pick<StoredCredentials, "rightsOfUser">;
  sessions: SessionBindings;
  /** NEBULA_SESSION_TTL */
  sessionTtlMs: number;
  presentGroups: PresentGroups;
  deviceConnections: DeviceConnections;
  /** NEBULA_MAX_DEVICES_PER_GROUP */
  mostDevices: number;
  visiblePages: VisiblePages;
  secretKeys: SecretKeys;
  /** The name of the configuration's admin. */
  localAdmin: string;
  clock: Clock;
  log: Log;
  registry: Registry;
  /** Aborted when the manager has stopped. */
  stopped: AbortSignal;
  /** Open watches now. */
  watches: () => number;
  /** The `spread` of a device_group that is watched here. */
  spreadOf: (deviceGroup: string) => number | undefined;
  cacheTimeMs: number;
  /** Whether the store answers now. */
  storeServing: () => boolean;
  /** Whether workers of the original poll a device_group. */
  isPolled: (deviceGroup: string) => Promise<boolean>;
  /** By which reports have their turn while a fan-out is in progress. */
  turns: Pick<TurnTaking, "report" | "waiting" | "refused">;
}>;

/** Everything that the manager serves. */
export function createServedServices({
  drivers,
  ownership,
  rpc,
  streams,
  groupViews,
  authenticate,
  stored,
  sessions,
  sessionTtlMs,
  presentGroups,
  deviceConnections,
  mostDevices,
  visiblePages,
  secretKeys,
  localAdmin,
  clock,
  log,
  registry,
  stopped,
  watches,
  spreadOf,
  cacheTimeMs,
  storeServing,
  isPolled,
  turns,
}: ServedServicesDeps): {
  services: readonly ServedService[];
  health: HealthService;
  /** SubmitReports, in its turn. */
  submitReports: SubmitReports;
} {
  const { configStore, configCache, changeFeed, accessStore, reportBus, reportStore } = drivers;
  const entities = { configStore, configCache, changeFeed, secretKeys, visiblePages, isPolled, clock, log };
  const access = { accessStore, changeFeed, clock, log };
  const status = { version: VERSION, cluster: drivers.configStore.cluster, startedAt: clock.now(), watches };
  /** `streaming`: the server streams of the service, if it has any. */
  const unary = (
    service: DescService,
    handlers: Readonly<Record<string, AnyUnaryHandler>>,
    streaming: Readonly<Record<string, AnyStreamHandler>> = {},
  ): ServedService => ({
    service,
    methods: { ...unaryMethods(service, handlers, rpc, bounded), ...streamMethods(service, streaming, streams) },
  });
  const bounded = (method: DescMethod, handler: AnyUnaryHandler): AnyUnaryHandler => {
    const room = roomOf(method, rooms);
    return room === undefined ? handler : inRoom(handler, room);
  };
  const rooms = {
    fleet: new CallRoom({ clock, ...FLEET_ROOM, signal: stopped }),
    api: new CallRoom({ clock, ...API_ROOM, signal: stopped }),
  };
  const reportsInTurn = {
    running: 0, // they are among the calls of the fleet then
    get waiting() {
      return turns.waiting.reports;
    },
    get refused() {
      return turns.refused;
    },
  };
  showCallRooms(registry, { ...rooms, reports: reportsInTurn });
  const drift = { groupViews, configStore, changeFeed, visiblePages, clock };
  const reportLimits = createReportLimits({ reportStore, configStore, mostDevices, clock });
  const fleet = createFleetHandlers({ groupViews, configStore, accessStore, reportStore, presentGroups, changeFeed, clock, log });
  const fleetReader = new FleetReader({ groupViews, configStore, reportStore, clock });
  const fleetViews = createFleetViews({ fleet: fleetReader, configStore, accessStore, changeFeed, clock, log, signal: stopped });
  const reports = createReportServiceHandlers({ visiblePages, presentGroups, reportLimits, reportBus, reportStore, clock, log });
  const submitReports = takingTurns(inRoom(reports.submitReports, rooms.fleet), turns);
  const nebula = [
    unary(AppService, createAppServiceHandlers(entities)),
    unary(CronJobService, createCronJobServiceHandlers(entities)),
    unary(DeviceGroupService, createDeviceGroupServiceHandlers(entities)),
    unary(HistoryService, createHistoryServiceHandlers({ ...entities, accessStore })),
    unary(ConfigService, createConfigServiceHandlers({ configStore, secretKeys })), // its WatchConfig is taken over before it comes to a handler
    unary(ReportService, { ...reports, submitReports }),
    unary(ApplyService, {}, createApplyServiceStreams({ groupViews, configStore, reportStore, changeFeed, clock })),
    unary(DriftService, createDriftServiceHandlers(drift), createDriftServiceStreams(drift)),
    unary(
      ExplainService,
      createExplainServiceHandlers({
        configStore,
        reportStore,
        accessStore,
        secretKeys,
        deviceConnections,
        clock,
      }),
    ),
    unary(FleetService, createFleetServiceHandlers({ fleetViews, clock }), createFleetServiceStreams({ fleetViews, clock })),
    unary(PlanService, createPlanServiceHandlers({ configStore, accessStore, reportStore, deviceConnections, secretKeys, localAdmin, clock })),
    unary(
      DeviceService,
      {
        ...createDeviceServiceHandlers({
          presentGroups,
          deviceConnections,
          changeFeed,
          reportStore,
          listDevices: fleet.listDevices,
          log,
        }),
        ...fleet.unary,
      },
      fleet.streams,
    ),
    unary(AccessService, {
      ...createAccessServiceHandlers({
        accessStore,
        configStore,
        changeFeed,
        presentGroups,
        rightsOf: async (user, signal) => (user === localAdmin ? ADMIN_RIGHTS : stored.rightsOfUser(user, signal)),
        visiblePages,
        clock,
        log,
        check: createAccessCheck(authenticate, rpc.audit),
      }),
      ...createSessionHandlers({ accessStore, changeFeed, sessions, ttlMs: sessionTtlMs, clock, log }),
    }),
    unary(UserService, createUserServiceHandlers({ ...access, localAdmin })),
    unary(UserGroupService, createUserGroupServiceHandlers({ ...access, localAdmin })),
    unary(AuditService, createAuditServiceHandlers(drivers)),
    unary(ShardService, createShardServiceHandlers({ configStore, ownership, clock, cacheTimeMs, watched: spreadOf })),
    unary(StatusService, createStatusServiceHandlers(status)),
  ];

  const health = new HealthService(
    nebula.map(({ service }) => service.typeName),
    storeServing,
  );
  const checked = unary(Health, health.handlers);
  const index = new ReflectionIndex([...nebula.map(({ service }) => service), Health, ServerReflection, ServerReflectionAlpha]);
  const reflections = [ServerReflection, ServerReflectionAlpha].map((service) => ({
    service,
    methods: { serverReflectionInfo: serveReflection(service.method.serverReflectionInfo, index, rpc) },
  }));
  return { services: [...nebula, { ...checked, methods: { ...checked.methods, watch: health.watch } }, ...reflections], health, submitReports };
}

type Rooms = Readonly<{ fleet: CallRoom; api: CallRoom }>;

/** Methods that devices call by themselves, all at once where they all come back: they have room of their own, so that they keep no operator out. */
const FLEET_METHODS: ReadonlySet<DescMethod> = new Set([
  ShardService.method.getShardMap,
  AccessService.method.enrollDevice,
  AccessService.method.rotateDeviceToken,
]);
export const FLEET_ROOM = { atOnce: 512, waiting: 20_000 };
export const API_ROOM = { atOnce: 512, waiting: 2000 };

/** undefined: it is always handled. Whether this manager is up is asked by it; or it waits for password checks, which have bounds of their own. */
function roomOf(method: DescMethod, { fleet, api }: Rooms): CallRoom | undefined {
  if (method.parent === Health || method.parent === StatusService || method === AccessService.method.check) return undefined;
  if (method === ReportService.method.submitReports) return undefined; // it takes room once it has its turn
  return FLEET_METHODS.has(method) ? fleet : api;
}

/** The unary methods of a service for grpc-js, by local name. */
function unaryMethods(
  service: DescService,
  handlers: Readonly<Record<string, AnyUnaryHandler>>,
  rpc: RpcDeps,
  bounded: (method: DescMethod, handler: AnyUnaryHandler) => AnyUnaryHandler,
): Record<string, UntypedHandleCall> {
  return Object.fromEntries(
    service.methods.flatMap((method) => {
      const handler = handlers[method.localName];
      if (method.methodKind !== "unary" || handler === undefined) return [];
      return [[method.localName, serveUnary(method, bounded(method, handler), rpc)]];
    }),
  );
}

/** The server streams of a service for grpc-js, by local name. */
function streamMethods(
  service: DescService,
  handlers: Readonly<Record<string, AnyStreamHandler>>,
  streams: ServerStreams,
): Record<string, UntypedHandleCall> {
  return Object.fromEntries(
    service.methods.flatMap((method) => {
      const handler = handlers[method.localName];
      return method.methodKind === "server_streaming" && handler !== undefined ? [[method.localName, streams.serve(method, handler)]] : [];
    }),
  );
}

type Handler<Request, Response> = (request: Request, context: CallContext) => Promise<Response>;

/** A handler that works when there is room. */
function inRoom<Request, Response>(handler: Handler<Request, Response>, room: CallRoom): Handler<Request, Response> {
  return (request, context) => room.run(() => handler(request, context), context.signal);
}

/** Reports wait for their turn while a fan-out is in progress, before they take room. */
function takingTurns(handler: SubmitReports, turns: Pick<TurnTaking, "report">): SubmitReports {
  return (request, context) => {
    const turn = turns.report(receivedBytes(request)?.length ?? 0, context.signal);
    return turn === undefined ? handler(request, context) : turn.then(() => handler(request, context));
  };
}
