import { randomBytes } from "node:crypto";
import { create, type DescMethod, type Message, type MessageInitShape } from "@bufbuild/protobuf";
import { isOnCluster } from "../../common/testing/backends.ts";
import { sampleReport } from "../../common/testing/sample-report.ts";
import { Health } from "../../gen/grpc/health/v1/health_pb.ts";
import { ServerReflection } from "../../gen/grpc/reflection/v1/reflection_pb.ts";
import { ServerReflection as ServerReflectionAlpha } from "../../gen/grpc/reflection/v1alpha/reflection_pb.ts";
import { AccessService } from "../../gen/nebula/v1/access_pb.ts";
import { AppService } from "../../gen/nebula/v1/app_pb.ts";
import { ApplyService } from "../../gen/nebula/v1/apply_pb.ts";
import { AuditService } from "../../gen/nebula/v1/audit_pb.ts";
import { ConfigService, WatchAndReportRequestSchema } from "../../gen/nebula/v1/config_pb.ts";
import { CronJobService } from "../../gen/nebula/v1/cron_job_pb.ts";
import { DeviceGroupService } from "../../gen/nebula/v1/device_group_pb.ts";
import { ConfigStanding, DeviceOrder, DeviceService, TargetKind } from "../../gen/nebula/v1/device_pb.ts";
import { DriftService } from "../../gen/nebula/v1/drift_pb.ts";
import { ExplainService } from "../../gen/nebula/v1/explain_pb.ts";
import { FleetService } from "../../gen/nebula/v1/fleet_pb.ts";
import { HistoryService } from "../../gen/nebula/v1/history_pb.ts";
import { PlannedKind, PlannedVerb, PlanService } from "../../gen/nebula/v1/plan_pb.ts";
import { ReportService } from "../../gen/nebula/v1/report_pb.ts";
import { ShardService } from "../../gen/nebula/v1/shard_pb.ts";
import { StatusService } from "../../gen/nebula/v1/status_pb.ts";
import { UserGroupService } from "../../gen/nebula/v1/user_group_pb.ts";
import { UserService } from "../../gen/nebula/v1/user_pb.ts";
import { APP, type CallerName, type Cast, CRON_JOB, DEVICE, ELSEWHERE, GROUP, TOKENLESS, UNKNOWN } from "./cast.ts";

/**
 * A call, who may make it, and what they are answered. Everybody else who is known is answered PERMISSION_DENIED, or, of what
 * is `hiddenFrom` it, NOT_FOUND; callers who are not known, UNAUTHENTICATED. Answers are chosen so that no call changes what another row is about.
 */
export type Row = Readonly<{
  method: DescMethod;
  /** Beside the method's name, where it has several rows. */
  about: string;
  request: (cast: Cast) => Promise<Message>;
  /** A request that follows on the stream of the first: its answer is the row's. */
  then: Message | undefined;
  /** "everybody": without a login. */
  who: readonly CallerName[] | "everybody";
  answer: string;
  hiddenFrom: readonly CallerName[];
}>;

/** The answer of a row to a caller. */
export function expected({ who, answer, hiddenFrom }: Pick<Row, "who" | "answer" | "hiddenFrom">, caller: CallerName): string {
  if (who === "everybody") return answer;
  if (UNKNOWN.has(caller)) return "UNAUTHENTICATED";
  if (who.includes(caller)) return answer;
  return hiddenFrom.includes(caller) ? "NOT_FOUND" : "PERMISSION_DENIED";
}

/** No reporter reads the bus here: that of one process refuses reports then, and Kafka keeps them. */
const REPORT_TAKEN = isOnCluster() ? "OK" : "UNAVAILABLE";

type RowOptions = { answer?: string; hiddenFrom?: readonly CallerName[]; about?: string; then?: Message };

function row<M extends DescMethod>(
  method: M,
  init: MessageInitShape<M["input"]> | ((cast: Cast) => Promise<MessageInitShape<M["input"]>>),
  who: Row["who"],
  { answer = "OK", hiddenFrom = [], about = "", then }: RowOptions = {},
): Row {
  const request = async (cast: Cast) => create(method.input, typeof init === "function" ? await init(cast) : init);
  return { method, about, request, then, who, answer, hiddenFrom };
}

/** Rows of reports: by SubmitReports, and on the stream of a watch that each of these callers may open, of the device and its group. */
function reportRows(
  { deviceId, deviceGroup, watch }: { deviceId: string; deviceGroup: string; watch: { deviceGroup: string; deviceId: string } },
  who: Row["who"],
  about: string,
): readonly Row[] {
  const value = { reports: [sampleReport({ deviceId, deviceGroup })] };
  const then = create(WatchAndReportRequestSchema, { request: { case: "reports", value } });
  const first = { case: "watch", value: { ...watch, boot: "b" } } as const;
  const onWatch = about === "" ? "a report" : `a report ${about}`;
  return [
    row(reports.submitReports, value, who, { answer: REPORT_TAKEN, about }),
    row(config.watchAndReport, { request: first }, who, { answer: REPORT_TAKEN, about: onWatch, then }),
  ];
}

const ADMINS = ["admin", "local_admin"] as const;
const WRITERS = ["rw", ...ADMINS] as const;
const PRUNERS = ["pruning", ...WRITERS] as const;
const ALL_PRUNERS = ["pruning", ...ADMINS] as const;
const READERS = ["ro", ...PRUNERS] as const;
const USERS = ["stranger", "elsewhere", ...READERS] as const;
/** Callers who may change nothing. */
const LOOKERS = ["stranger", "elsewhere", "ro", "pruning"] as const;
/** Callers who know nothing of GROUP. */
const OUTSIDERS = ["stranger", "elsewhere"] as const;
const DEVICES = ["device", "other_device"] as const;
const CREDENTIALS = [...USERS, ...DEVICES, "enrolment"] as const;

/** A revision that nothing has: a write that is let in ends there, and changes nothing. */
const NOT_NOW = { ifRevision: 999n };
const STALE = { answer: "ABORTED" };
const THERE = { answer: "ALREADY_EXISTS" };
const MISSING = { answer: "NOT_FOUND" };
const INVALID = { answer: "INVALID_ARGUMENT" };
const hash = () => new Uint8Array(randomBytes(32));

const apps = AppService.method;
const cronJobs = CronJobService.method;
const groups = DeviceGroupService.method;
const history = HistoryService.method;
const config = ConfigService.method;
const reports = ReportService.method;
const apply = ApplyService.method;
const devices = DeviceService.method;
const drift = DriftService.method;
const { explain } = ExplainService.method;
const fleet = FleetService.method;
const plans = PlanService.method;
const users = UserService.method;
const userGroups = UserGroupService.method;
const access = AccessService.method;

/** A change as PlanService takes it. */
function planned<Case extends string, Value>(kind: Case, value: Value): { change: { case: Case; value: Value } } {
  return { change: { case: kind, value } };
}

const HERE = { deviceGroup: GROUP, deviceId: DEVICE, boot: "b" };

/** Every method of every service. */
export const TABLE: readonly Row[] = [
  row(apps.createApp, { app: { name: APP, dockerImage: "nginx:1" } }, WRITERS, THERE),
  row(apps.createApp, { app: { name: APP, dockerImage: "nginx:1" }, minRevision: 5n }, ADMINS, { ...THERE, about: "an import" }),
  row(apps.getApp, { name: APP }, READERS),
  row(apps.listApps, {}, USERS),
  row(apps.updateApp, { app: { name: APP } }, WRITERS, INVALID),
  row(apps.updateApp, { app: { name: APP }, minRevision: 5n }, ADMINS, { ...INVALID, about: "an import" }),
  row(apps.deleteApp, { name: APP, ...NOT_NOW }, WRITERS, STALE),
  row(apps.startApp, { name: APP, ...NOT_NOW }, WRITERS, STALE),
  row(apps.stopApp, { name: APP, ...NOT_NOW }, WRITERS, STALE),
  row(apps.restartApp, { name: APP, ...NOT_NOW }, WRITERS, STALE),

  row(cronJobs.createCronJob, { cronJob: { name: CRON_JOB, schedule: "@daily", dockerImage: "backup:1" } }, WRITERS, THERE),
  row(cronJobs.getCronJob, { name: CRON_JOB }, READERS),
  row(cronJobs.listCronJobs, {}, USERS),
  row(cronJobs.updateCronJob, { cronJob: { name: CRON_JOB } }, WRITERS, INVALID),
  row(cronJobs.deleteCronJob, { name: CRON_JOB, ...NOT_NOW }, WRITERS, STALE),

  row(groups.createDeviceGroup, { deviceGroup: { name: GROUP } }, WRITERS, THERE),
  row(groups.createDeviceGroup, { deviceGroup: { name: GROUP }, minPruneId: 5n }, ADMINS, { ...THERE, about: "an import" }),
  row(groups.getDeviceGroup, { name: GROUP }, READERS),
  row(groups.listDeviceGroups, {}, USERS),
  row(groups.updateDeviceGroup, { deviceGroup: { name: GROUP } }, WRITERS, INVALID),
  row(groups.deleteDeviceGroup, { name: GROUP, ...NOT_NOW }, WRITERS, STALE),
  row(groups.prune, { name: GROUP }, PRUNERS),
  row(groups.pruneAll, {}, ALL_PRUNERS),

  row(history.listRevisions, { kind: TargetKind.APP, name: APP }, READERS),
  row(history.listRevisions, { kind: TargetKind.CRON_JOB, name: CRON_JOB }, READERS, { about: "of a cron_job" }),
  row(history.listRevisions, { kind: TargetKind.DEVICE_GROUP, name: GROUP }, READERS, { about: "of a device_group" }),
  row(history.listRevisions, { name: APP }, USERS, { ...INVALID, about: "of no kind" }),
  row(history.getRevision, { kind: TargetKind.APP, name: APP, revision: 1n }, READERS),
  row(history.rollback, { kind: TargetKind.APP, name: APP, ...NOT_NOW }, WRITERS, STALE),
  row(history.rollback, { kind: TargetKind.CRON_JOB, name: CRON_JOB, ...NOT_NOW }, WRITERS, { ...STALE, about: "of a cron_job" }),
  row(history.rollback, { kind: TargetKind.DEVICE_GROUP, name: GROUP, ...NOT_NOW }, WRITERS, { ...STALE, about: "of a device_group" }),
  row(history.rollback, { kind: TargetKind.APP, name: APP, to: 1n, dryRun: true }, WRITERS, { about: "that only shows what it would change" }),
  row(history.listChanges, {}, USERS),
  row(history.listChanges, { kind: TargetKind.APP, name: APP }, READERS, { about: "of an app" }),

  row(config.getConfig, { deviceGroup: GROUP }, ["device", ...READERS]),
  row(config.watchConfig, { deviceGroup: GROUP, deviceId: DEVICE, boot: "b" }, ["device", "part", ...READERS]),
  row(config.watchConfig, { deviceGroup: GROUP, deviceId: "device-2", boot: "b" }, ["part", ...READERS], { about: "as another device" }),
  row(config.watchAndReport, { request: { case: "watch", value: HERE } }, ["device", "part", ...READERS]),
  row(config.watchAndReport, { request: { case: "watch", value: { ...HERE, deviceId: "device-2" } } }, ["part", ...READERS], {
    about: "as another device",
  }),

  ...reportRows({ deviceId: DEVICE, deviceGroup: GROUP, watch: HERE }, ["device", ...READERS], ""),
  ...reportRows({ deviceId: "device-3", deviceGroup: GROUP, watch: HERE }, READERS, "as another device"),
  ...reportRows({ deviceId: "device-2", deviceGroup: GROUP, watch: HERE }, ADMINS, "as a device with a token into another group"),
  ...reportRows({ deviceId: TOKENLESS, deviceGroup: ELSEWHERE, watch: HERE }, ADMINS, "as a device of another group"),
  ...reportRows(
    { deviceId: "device-4", deviceGroup: ELSEWHERE, watch: { deviceGroup: ELSEWHERE, deviceId: "" } }, // no presence there
    ["elsewhere", ...ADMINS],
    "as a device of no group, into that other group",
  ),
  row(reports.listReports, {}, USERS),
  row(reports.listReports, { deviceGroup: GROUP }, READERS, { about: "of a group" }),

  row(apply.watchApply, { targets: [{ kind: TargetKind.APP, name: APP }], timeoutMs: 0 }, READERS),
  row(apply.watchApply, { targets: [{ kind: TargetKind.CRON_JOB, name: CRON_JOB }], timeoutMs: 0 }, READERS, { about: "of a cron_job" }),
  row(apply.watchApply, { targets: [{ kind: TargetKind.DEVICE_GROUP, name: GROUP }], timeoutMs: 0 }, READERS, { about: "of a device_group" }),
  row(apply.watchApply, {}, USERS, { ...INVALID, about: "of nothing" }),

  row(drift.getDrift, {}, USERS),
  row(drift.getDrift, { deviceGroup: GROUP }, READERS, { about: "of a group" }),
  row(drift.watchDrift, { deviceGroups: [GROUP] }, READERS),
  row(drift.watchDrift, {}, USERS, { ...INVALID, about: "of nothing" }),

  row(fleet.getOverview, {}, USERS),
  row(fleet.getOverview, { deviceGroups: [GROUP] }, READERS, { about: "of a group" }),
  row(fleet.watchOverview, {}, USERS),
  row(fleet.watchOverview, { deviceGroups: [GROUP], members: true }, READERS, { about: "of a group" }),

  row(devices.getDevice, (cast) => cast.putStatus().then(() => ({ deviceId: DEVICE })), READERS, { hiddenFrom: OUTSIDERS }),
  row(devices.listDevices, {}, USERS),
  row(devices.listDevices, { deviceGroup: GROUP }, READERS, { about: "of a group" }),
  row(devices.listDevices, { deviceGroup: GROUP, summariesOnly: true }, READERS, { about: "of a group, by summaries" }),
  row(devices.listDevices, { filter: { failing: true } }, USERS, { about: "that are failing" }),
  row(devices.listDevices, { filter: { standing: ConfigStanding.FAILED } }, USERS, { about: "that failed the newest config" }),
  row(devices.listDevices, { filter: { target: { kind: TargetKind.APP, name: APP } } }, READERS, { about: "that follow an app" }),
  row(devices.listDevices, { order: DeviceOrder.REPORTED }, USERS, { about: "in an order" }),
  row(devices.countDevices, {}, USERS),
  row(devices.countDevices, { filter: { standing: ConfigStanding.FAILED } }, USERS, { about: "that failed the newest config" }),
  row(devices.countDevices, { filter: { target: { kind: TargetKind.CRON_JOB, name: CRON_JOB } } }, READERS, { about: "that follow a cron_job" }),
  row(devices.countDevices, { deviceGroup: GROUP }, READERS, { about: "of a group" }),
  row(devices.watchDevices, { deviceGroups: [GROUP] }, READERS),
  row(devices.watchDevices, { deviceGroups: [GROUP], filter: { target: { kind: TargetKind.APP, name: APP } } }, READERS, {
    about: "that follow an app",
  }),
  row(devices.watchDevices, { deviceGroups: [GROUP, ELSEWHERE] }, ADMINS, { ...MISSING, about: "of a group that others have no rights on" }),
  row(devices.deleteDevices, { deviceGroup: GROUP, offlineLongerMs: 1n, dryRun: true }, WRITERS, { about: "of a group" }),
  row(devices.deleteDevices, { offlineLongerMs: 10n ** 12n, dryRun: true }, USERS),
  row(devices.deleteDevice, (cast) => cast.putStatus().then(() => ({ deviceId: DEVICE })), WRITERS, { hiddenFrom: OUTSIDERS }),

  row(explain, (cast) => cast.putStatus().then(() => ({ deviceId: DEVICE })), READERS, { hiddenFrom: OUTSIDERS }),
  row(explain, (cast) => cast.putStatus().then(() => ({ deviceId: DEVICE, name: APP })), READERS, { hiddenFrom: OUTSIDERS, about: "of an app" }),
  row(plans.plan, { changes: [planned("app", { name: APP, dockerImage: "nginx:2" })] }, READERS, { about: "of an app" }),
  row(plans.plan, { changes: [planned("app", { name: APP, dockerImage: "nginx:2", secretEnvVars: { TOKEN: "a guess" } })] }, WRITERS, {
    about: "with a secret value",
  }),
  row(plans.plan, { changes: [planned("cronJob", { name: CRON_JOB, dockerImage: "nginx:2", schedule: "0 3 * * *" })] }, READERS, {
    about: "of a cron_job",
  }),
  row(plans.plan, { changes: [planned("deviceGroup", { name: GROUP, apps: [APP] })] }, READERS, { about: "of a device_group" }),
  row(plans.plan, { changes: [planned("deviceGroup", { name: ELSEWHERE, apps: [APP] })] }, ADMINS, { about: "that names an unreadable app" }),
  row(plans.plan, { changes: [planned("userGroup", { name: "staff" })] }, ADMINS, { about: "of a user_group" }),
  row(plans.plan, { changes: [planned("action", { kind: PlannedKind.APP, name: APP, verb: PlannedVerb.DELETE })] }, READERS, {
    about: "of a delete",
  }),

  row(users.createUser, { name: "ro" }, ADMINS, THERE),
  row(users.getUser, { name: "ro" }, ADMINS),
  row(users.listUsers, {}, ADMINS),
  row(users.updateUser, { name: "nobody", password: "long enough" }, ADMINS, MISSING),
  row(users.deleteUser, { name: "nobody" }, ADMINS, MISSING),
  row(users.refreshUserToken, { name: "nobody" }, ADMINS, MISSING),

  row(userGroups.createUserGroup, { userGroup: { name: "ro" } }, ADMINS, THERE),
  row(userGroups.getUserGroup, { name: "ro" }, ADMINS),
  row(userGroups.listUserGroups, {}, ADMINS),
  row(userGroups.updateUserGroup, { userGroup: { name: "nobody", admin: true }, updateFields: ["admin"] }, ADMINS, MISSING),
  row(userGroups.deleteUserGroup, { name: "nobody" }, ADMINS, MISSING),

  row(access.check, { method: "/grpc.health.v1.Health/Check" }, ["part", ...ADMINS]),
  row(access.createEnrolmentToken, { deviceGroup: GROUP }, WRITERS),
  row(access.listEnrolmentTokens, {}, USERS),
  row(access.listEnrolmentTokens, { deviceGroup: GROUP }, WRITERS, { about: "of a group" }),
  row(access.revokeEnrolmentToken, async (cast) => ({ id: await cast.freshEnrolment() }), WRITERS, { hiddenFrom: LOOKERS }),
  row(access.enrollDevice, async () => ({ deviceId: `device-${randomBytes(6).toString("hex")}`, tokenHash: hash() }), ["enrolment"]),
  row(access.rotateDeviceToken, async () => ({ nextTokenHash: hash() }), DEVICES),
  row(access.listDeviceTokens, {}, USERS),
  row(access.listDeviceTokens, { deviceGroup: GROUP }, WRITERS, { about: "of a group" }),
  row(access.revokeDeviceToken, async (cast) => ({ deviceId: await cast.freshDevice() }), WRITERS, { hiddenFrom: LOOKERS }),
  row(access.createSession, {}, USERS),
  row(access.listSessions, {}, USERS),
  row(access.listSessions, { user: "rw" }, ["rw", ...ADMINS], { about: "of a user" }),
  row(access.deleteSession, async (cast) => ({ id: await cast.freshSession("rw") }), ["rw", ...ADMINS], {
    hiddenFrom: USERS,
  }),
  row(access.deleteSession, {}, USERS, { ...INVALID, about: "without a session" }),

  row(AuditService.method.listAuditEntries, {}, ADMINS),
  row(ShardService.method.getShardMap, { deviceGroup: GROUP, deviceId: DEVICE }, ["part", ...DEVICES, ...USERS]),
  row(StatusService.method.getStatus, {}, ["part", ...USERS]),

  row(Health.method.check, {}, "everybody"),
  row(Health.method.watch, {}, "everybody"),
  row(Health.method.list, {}, "everybody"),
  row(ServerReflection.method.serverReflectionInfo, { messageRequest: { case: "listServices", value: "" } }, CREDENTIALS),
  row(ServerReflectionAlpha.method.serverReflectionInfo, { messageRequest: { case: "listServices", value: "" } }, CREDENTIALS),
];
