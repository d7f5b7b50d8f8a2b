import type { DescMethod, DescService, Message, MessageShape } from "@bufbuild/protobuf";
import { entityKindOf } from "../../../common/resources/target-kind.ts";
import { pathOf } from "../../../common/rpc/service-definition.ts";
import type { EntityKey } from "../../../common/storage/config-store.ts";
import { Health } from "../../../gen/grpc/health/v1/health_pb.ts";
import { ServerReflection } from "../../../gen/grpc/reflection/v1/reflection_pb.ts";
import { ServerReflection as ServerReflectionAlpha } from "../../../gen/grpc/reflection/v1alpha/reflection_pb.ts";
import { AccessService } from "../../../gen/nebula/v1/access_pb.ts";
import { AppService } from "../../../gen/nebula/v1/app_pb.ts";
import { ApplyService } from "../../../gen/nebula/v1/apply_pb.ts";
import { AuditService } from "../../../gen/nebula/v1/audit_pb.ts";
import { ConfigService } from "../../../gen/nebula/v1/config_pb.ts";
import { CronJobService } from "../../../gen/nebula/v1/cron_job_pb.ts";
import { DeviceGroupService } from "../../../gen/nebula/v1/device_group_pb.ts";
import { DeviceService, type TargetKind } from "../../../gen/nebula/v1/device_pb.ts";
import { DriftService } from "../../../gen/nebula/v1/drift_pb.ts";
import { ExplainService } from "../../../gen/nebula/v1/explain_pb.ts";
import { FleetService } from "../../../gen/nebula/v1/fleet_pb.ts";
import { HistoryService } from "../../../gen/nebula/v1/history_pb.ts";
import { PlanService } from "../../../gen/nebula/v1/plan_pb.ts";
import { ReportService } from "../../../gen/nebula/v1/report_pb.ts";
import { ShardService } from "../../../gen/nebula/v1/shard_pb.ts";
import { StatusService } from "../../../gen/nebula/v1/status_pb.ts";
import { UserGroupService } from "../../../gen/nebula/v1/user_group_pb.ts";
import { UserService } from "../../../gen/nebula/v1/user_pb.ts";

/** The right that one call needs. */
export type Need = Readonly<
  /** Any valid credential: it tells nothing that is not public. */
  | { kind: "credential" }
  /** Any user. */
  | { kind: "login" }
  /** Any user or device. */
  | { kind: "member" }
  /** `ro` on the entity. */
  | { kind: "read"; entity: EntityKey }
  /** `rw` on the entity. */
  | { kind: "write"; entity: EntityKey }
  /** `rw` or pruning_allowed on the device_group. */
  | { kind: "prune"; deviceGroup: string }
  /** pruning_allowed, on whichever device_groups there is `ro`. */
  | { kind: "prune_all" }
  /** `ro` on the device_group, or to be a device of it. */
  | { kind: "config"; deviceGroup: string }
  /** To be the one device that is named, or `ro` on the groups of all. */
  | { kind: "device"; devices: readonly Readonly<{ deviceGroup: string; deviceId: string }>[] }
  /** Any user: the handler shows, or changes, only what the caller may. */
  | { kind: "filtered" }
  | { kind: "admin" }
  /** To come with an enrolment token. */
  | { kind: "enroll" }
  /** To be a device with a token of its own. */
  | { kind: "own_device" }
>;

/** The right that a method needs. `part`: the part token alone is enough. */
export type MethodRule<Request> = Readonly<
  { kind: "public" } | { kind: "stream" } | { kind: "guarded"; part: boolean; need: { of(request: Request): Need }["of"] }
>;

type RulesOf<S extends DescService> = { readonly [Name in keyof S["method"]]: MethodRule<MessageShape<S["method"][Name]["input"]>> };

/** No login, not even a readable request. */
const open = { kind: "public" } as const;
/** Any valid credential, checked when the stream opens: its requests come later. */
const stream = { kind: "stream" } as const;

function needs<Request>(need: (request: Request) => Need): MethodRule<Request> {
  return { kind: "guarded", part: false, need };
}

/** As needs; another part may call it for itself, too. */
function needsOrPart<Request>(need: (request: Request) => Need): MethodRule<Request> {
  return { kind: "guarded", part: true, need };
}

const filtered = needs<unknown>(() => ({ kind: "filtered" }));
const admin = needs<unknown>(() => ({ kind: "admin" }));

function read(kind: EntityKey["kind"], name: string | undefined): Need {
  return { kind: "read", entity: { kind, name: name ?? "" } };
}

/** A change; one that sets a revision (an import) is for admins. */
function write(
  kind: EntityKey["kind"],
  name: string | undefined,
  min: { minRevision?: bigint | undefined; minPruneId?: bigint | undefined } = {},
): Need {
  if (min.minRevision !== undefined || min.minPruneId !== undefined) return { kind: "admin" };
  return { kind: "write", entity: { kind, name: name ?? "" } };
}

const app: RulesOf<typeof AppService> = {
  createApp: needs((request) => write("app", request.app?.name, request)),
  getApp: needs((request) => read("app", request.name)),
  listApps: filtered,
  updateApp: needs((request) => write("app", request.app?.name, request)),
  deleteApp: needs((request) => write("app", request.name)),
  startApp: needs((request) => write("app", request.name)),
  stopApp: needs((request) => write("app", request.name)),
  restartApp: needs((request) => write("app", request.name)),
};

const cronJob: RulesOf<typeof CronJobService> = {
  createCronJob: needs((request) => write("cron_job", request.cronJob?.name, request)),
  getCronJob: needs((request) => read("cron_job", request.name)),
  listCronJobs: filtered,
  updateCronJob: needs((request) => write("cron_job", request.cronJob?.name, request)),
  deleteCronJob: needs((request) => write("cron_job", request.name)),
};

const deviceGroup: RulesOf<typeof DeviceGroupService> = {
  createDeviceGroup: needs((request) => write("device_group", request.deviceGroup?.name, request)),
  getDeviceGroup: needs((request) => read("device_group", request.name)),
  listDeviceGroups: filtered,
  updateDeviceGroup: needs((request) => write("device_group", request.deviceGroup?.name, request)),
  deleteDeviceGroup: needs((request) => write("device_group", request.name)),
  prune: needs((request) => ({ kind: "prune", deviceGroup: request.name })),
  pruneAll: needs(() => ({ kind: "prune_all" })),
};

/** Returns the right that a watch needs, at its opening and while it is open. */
export function watchNeed(deviceGroup: string, deviceId: string): Need {
  return { kind: "device", devices: [{ deviceGroup, deviceId }] };
}

/** The right on the entity that a kind and a name in a request mean. A kind that is not known is refused by the handler. */
function onTarget({ kind: given, name }: Readonly<{ kind: TargetKind; name: string }>, level: "read" | "write"): Need {
  const kind = entityKindOf(given);
  return kind === undefined ? { kind: "login" } : { kind: level, entity: { kind, name } };
}

const history: RulesOf<typeof HistoryService> = {
  listRevisions: needs((request) => onTarget(request, "read")),
  getRevision: needs((request) => onTarget(request, "read")),
  rollback: needs((request) => onTarget(request, "write")),
  listChanges: filtered,
};

const config: RulesOf<typeof ConfigService> = {
  getConfig: needs(({ deviceGroup }) => ({ kind: "config", deviceGroup })),
  watchConfig: needsOrPart(({ deviceGroup, deviceId }) => watchNeed(deviceGroup, deviceId)),
  /** Of its first request, which serve-watch.ts lets in as one of WatchConfig. Each later one is let in as one of SubmitReports. */
  watchAndReport: needsOrPart(({ request }) =>
    request.case === "watch" ? watchNeed(request.value.deviceGroup, request.value.deviceId) : { kind: "admin" },
  ),
};

const report: RulesOf<typeof ReportService> = {
  submitReports: needs(({ reports }) => ({ kind: "device", devices: reports.map(({ deviceGroup, deviceId }) => ({ deviceGroup, deviceId })) })),
  listReports: filtered,
};

/** The handler asks for `ro` on each target, and counts the groups that the caller may read. */
const apply: RulesOf<typeof ApplyService> = { watchApply: filtered };

/** The handler asks for `ro` on the groups that are named, and shows those that the caller may read. */
const drift: RulesOf<typeof DriftService> = { getDrift: filtered, watchDrift: filtered };

const device: RulesOf<typeof DeviceService> = {
  getDevice: filtered,
  listDevices: filtered,
  deleteDevice: filtered,
  countDevices: filtered,
  watchDevices: filtered,
  deleteDevices: filtered,
};

const explain: RulesOf<typeof ExplainService> = { explain: filtered };
/** The handler asks for `ro` on the groups that are named, and counts those that the caller may read. */
const fleet: RulesOf<typeof FleetService> = { getOverview: filtered, watchOverview: filtered };
const plan: RulesOf<typeof PlanService> = { plan: filtered };

const user: RulesOf<typeof UserService> = {
  createUser: admin,
  getUser: admin,
  listUsers: admin,
  updateUser: admin,
  deleteUser: admin,
  refreshUserToken: admin,
};

const userGroup: RulesOf<typeof UserGroupService> = {
  createUserGroup: admin,
  getUserGroup: admin,
  listUserGroups: admin,
  updateUserGroup: admin,
  deleteUserGroup: admin,
};

const access: RulesOf<typeof AccessService> = {
  check: needsOrPart(() => ({ kind: "admin" })),
  createEnrolmentToken: needs((request) => write("device_group", request.deviceGroup)),
  listEnrolmentTokens: filtered,
  revokeEnrolmentToken: filtered,
  enrollDevice: needs(() => ({ kind: "enroll" })),
  rotateDeviceToken: needs(() => ({ kind: "own_device" })),
  listDeviceTokens: filtered,
  revokeDeviceToken: filtered,
  createSession: needs(() => ({ kind: "login" })),
  listSessions: filtered,
  deleteSession: filtered,
};

const audit: RulesOf<typeof AuditService> = { listAuditEntries: admin };
const shard: RulesOf<typeof ShardService> = { getShardMap: needsOrPart(() => ({ kind: "member" })) };
const status: RulesOf<typeof StatusService> = { getStatus: needsOrPart(() => ({ kind: "login" })) };
const health: RulesOf<typeof Health> = { check: open, watch: open, list: open };
const reflection: RulesOf<typeof ServerReflection> = { serverReflectionInfo: stream };
const reflectionAlpha: RulesOf<typeof ServerReflectionAlpha> = { serverReflectionInfo: stream };

/** The requests of a path are of that method's input, which the call's decoder guarantees. */
type ErasedRules = Readonly<Record<string, MethodRule<Message>>>;
type Row = Readonly<{ method: DescMethod; rule: MethodRule<Message> }>;

function byPath(service: DescService, rules: ErasedRules): [string, Row][] {
  return service.methods.flatMap((method) => {
    const rule = rules[method.localName];
    return rule === undefined ? [] : [[pathOf(method), { method, rule }]];
  });
}

/** By gRPC path. */
const ROWS: ReadonlyMap<string, Row> = new Map([
  ...byPath(AppService, app),
  ...byPath(CronJobService, cronJob),
  ...byPath(DeviceGroupService, deviceGroup),
  ...byPath(HistoryService, history),
  ...byPath(ConfigService, config),
  ...byPath(ReportService, report),
  ...byPath(ApplyService, apply),
  ...byPath(DeviceService, device),
  ...byPath(DriftService, drift),
  ...byPath(ExplainService, explain),
  ...byPath(FleetService, fleet),
  ...byPath(PlanService, plan),
  ...byPath(UserService, user),
  ...byPath(UserGroupService, userGroup),
  ...byPath(AccessService, access),
  ...byPath(AuditService, audit),
  ...byPath(ShardService, shard),
  ...byPath(StatusService, status),
  ...byPath(Health, health),
  ...byPath(ServerReflection, reflection),
  ...byPath(ServerReflectionAlpha, reflectionAlpha),
]);

/** The same by the method itself: it is looked up at every call. */
const BY_METHOD: ReadonlyMap<DescMethod, Row> = new Map([...ROWS.values()].map((row) => [row.method, row]));

/** The one table of what every method of every service needs. A method that is missing in it is refused. */
export function ruleOf(method: DescMethod): MethodRule<Message> | undefined {
  return BY_METHOD.get(method)?.rule;
}

/** The method of a gRPC path, as far as the table knows it. */
export function methodOf(path: string): DescMethod | undefined {
  return ROWS.get(path)?.method;
}
