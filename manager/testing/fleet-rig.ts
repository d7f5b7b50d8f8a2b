import { strict as assert } from "node:assert";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { ManualClock } from "../../common/clock/manual-clock.ts";
import type { NebulaError } from "../../common/errors/nebula-error.ts";
import { silentLog } from "../../common/log/log.ts";
import { openSqliteAccessStore } from "../../common/storage/sqlite/access/access-store.ts";
import { openSqliteReportStore } from "../../common/storage/sqlite/reports/report-store.ts";
import { SAMPLE_TIME_MS, sampleReport } from "../../common/testing/sample-report.ts";
import { saveAndAnnounce, savePresenceAndAnnounce, statusRow } from "../../common/testing/save-reports.ts";
import { CreateAppRequestSchema, UpdateAppRequestSchema } from "../../gen/nebula/v1/app_pb.ts";
import { AuditEntrySchema } from "../../gen/nebula/v1/audit_pb.ts";
import { CreateDeviceGroupRequestSchema } from "../../gen/nebula/v1/device_group_pb.ts";
import {
  GetOverviewRequestSchema,
  GetOverviewResponseSchema,
  type GroupOverview,
  type StandingCounts,
  WatchOverviewRequestSchema,
  type WatchOverviewResponse,
  WatchOverviewResponseSchema,
} from "../../gen/nebula/v1/fleet_pb.ts";
import { FailureCode, type ReportSchema, TargetState } from "../../gen/nebula/v1/report_pb.ts";
import { UserGroupSchema } from "../../gen/nebula/v1/user_group_pb.ts";
import type { Principal } from "../access/principal.ts";
import { ADMIN_RIGHTS, NO_RIGHTS, rightsOf } from "../access/rights/rights.ts";
import { createGroupViews } from "../insight/views/group-views.ts";
import { createFleetHandlers } from "../services/devices/fleet-handlers.ts";
import { FleetReader } from "../services/devices/fleet-reader.ts";
import { createFleetViews } from "../services/fleet/fleet-views.ts";
import { createFleetServiceHandlers, type OverviewParts, watchOverview } from "../services/fleet/overview.ts";
import { callOf, startEntityRig } from "./entity-rig.ts";
import { putTestDevice } from "./test-access.ts";

type Fields = Exclude<MessageInitShape<typeof ReportSchema>, { $typeName: string }>;

export const NOW_MS = SAMPLE_TIME_MS + 86_400_000;
export const ADMIN: Principal = { kind: "user", name: "admin", rights: ADMIN_RIGHTS };
export const STRANGER: Principal = { kind: "user", name: "eve", rights: NO_RIGHTS };

export function user(rights: Pick<MessageInitShape<typeof UserGroupSchema>, "apps" | "deviceGroups">): Principal {
  return { kind: "user", name: "ann", rights: rightsOf([create(UserGroupSchema, { name: "team", ...rights })]) };
}

/** Real stores with the group `shops`, which has the app web, and the group `tills`, which has web and pos. */
export async function startFleetRig({ liveBytes, mostBytes }: { liveBytes?: number; mostBytes?: number } = {}) {
  const stack = new AsyncDisposableStack();
  const clock = new ManualClock(NOW_MS);
  const rig = stack.use(await startEntityRig({ clock }));
  const reportStore = stack.use(await openSqliteReportStore({ path: ":memory:" }));
  const accessStore = stack.use(await openSqliteAccessStore({ path: ":memory:" }));
  const { changeFeed, configStore } = rig.deps;
  const room = mostBytes === undefined ? {} : { mostBytes };
  const groupViews = stack.use(createGroupViews({ store: reportStore, feed: changeFeed, clock, log: silentLog, ownBoot: "boot-a", ...room }));
  const fleet = new FleetReader({ groupViews, configStore, reportStore, clock });
  const stopped = new AbortController();
  stack.defer(() => stopped.abort());
  let unavailable: NebulaError | undefined;
  const failing: typeof configStore.getMany = (...call) => (unavailable === undefined ? configStore.getMany(...call) : Promise.reject(unavailable));
  const fleetViews = createFleetViews({
    fleet,
    configStore: { get: (...call) => configStore.get(...call), getMany: failing, revisions: (...call) => configStore.revisions(...call) },
    accessStore,
    changeFeed,
    clock,
    log: silentLog,
    signal: stopped.signal,
    ...(liveBytes === undefined ? {} : { liveBytes }),
  });
  const service = createFleetServiceHandlers({ fleetViews, clock });
  const presentGroups = { forget() {} };
  const devices = createFleetHandlers({ groupViews, configStore, accessStore, reportStore, presentGroups, changeFeed, clock, log: silentLog });
  await reportStore.markShard({ boot: "boot-a", name: "m-1", address: "m-1:50051", seenMs: NOW_MS });
  const createApp = (name: string, by = "ann") =>
    rig.apps.createApp(create(CreateAppRequestSchema, { app: { name, dockerImage: "shop:1" } }), callOf(by));
  for (const name of ["web", "pos"]) await createApp(name);
  const createGroup = (name: string, apps: string[]) =>
    rig.groups.createDeviceGroup(create(CreateDeviceGroupRequestSchema, { deviceGroup: { name, apps } }), callOf("ann"));
  await createGroup("shops", ["web"]);
  await createGroup("tills", ["web", "pos"]);

  let version = 0n;
  const put = async (deviceId: string, deviceGroup: string, fields: Fields = {}) => {
    const report = sampleReport({ deviceId, deviceGroup, seq: ++version, receivedMs: NOW_MS, ...fields });
    await saveAndAnnounce(reportStore, changeFeed, statusRow(report, version));
  };
  const online = (deviceId: string, deviceGroup: string) =>
    reportStore.savePresence([{ deviceGroup, deviceId, shardBoot: "boot-a", stream: Number(++version), ended: false, atMs: NOW_MS - 60_000 }]);
  /** A watch opens, and is announced. */
  const connect = (deviceId: string, deviceGroup: string) => {
    const row = { deviceGroup, deviceId, shardBoot: "boot-a", stream: Number(++version), ended: false, atMs: clock.now() };
    return savePresenceAndAnnounce(reportStore, changeFeed, row);
  };
  return {
    ...rig,
    clock,
    accessStore,
    groupViews,
    reportStore,
    createApp,
    createGroup,
    put,
    online,
    connect,
    updateWeb: () =>
      rig.apps.updateApp(
        create(UpdateAppRequestSchema, { app: { name: "web", dockerImage: "shop:2" }, updateFields: ["docker_image"] }),
        callOf("bob"),
      ),
    audit: (kind: string, name: string, revisionBefore: bigint, revisionAfter: bigint, atMs = clock.now()) =>
      accessStore.appendAudit([
        create(AuditEntrySchema, {
          at: timestampFromMs(atMs),
          who: "bob",
          kind,
          name,
          revisionBefore,
          revisionAfter,
          outcome: "OK",
          detail: "update",
        }),
      ]),
    devices,
    failWith(error: NebulaError | undefined) {
      unavailable = error;
    },
    get: async (init: MessageInitShape<typeof GetOverviewRequestSchema> = {}, principal = ADMIN) =>
      create(GetOverviewResponseSchema, await service.getOverview(create(GetOverviewRequestSchema, init), { ...callOf("x"), principal })),
    watch: (init: OverviewRequest = {}, principal = ADMIN) => watchTestOverview({ fleetViews, clock }, init, principal),
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
}

type OverviewRequest = MessageInitShape<typeof WatchOverviewRequestSchema>;

/** A stream of an overview; `allow`: access changed, and its caller is this one now. */
export function watchTestOverview({ fleetViews, clock }: OverviewParts & { clock: ManualClock }, init: OverviewRequest = {}, principal = ADMIN) {
  const ended = new AbortController();
  let check: (now: Principal) => void = () => {};
  const context = {
    principal,
    signal: ended.signal,
    keepAllowed(of: typeof check) {
      check = of;
    },
  };
  const messages = watchOverview({ fleetViews, clock }, create(WatchOverviewRequestSchema, init), context);
  return { ...followed(messages, clock), allow: (now: Principal) => check(now), end: () => ended.abort(new Error("over")) };
}

/** The messages of a stream as they came, with the time of each on the clock. */
function followed(messages: AsyncGenerator<MessageInitShape<typeof WatchOverviewResponseSchema>>, clock: ManualClock) {
  const came: { atMs: number; message: WatchOverviewResponse }[] = [];
  const ended = (async () => {
    for await (const message of messages) came.push({ atMs: clock.monotonic(), message: create(WatchOverviewResponseSchema, message) });
  })();
  ended.catch(() => {});
  const until = async (holds: () => boolean) => {
    for (let round = 0; round < 400 && !holds(); round++) await clock.advance(250);
    assert.ok(holds(), "the stream did not say it within 100 s of the clock");
  };
  /** The newest numbers: a message has only what changed. */
  const newest = () => ({
    fleet: came.findLast(({ message }) => message.fleet !== undefined)?.message.fleet,
    recentChanges: came.findLast(({ message }) => message.recentChanges !== undefined)?.message.recentChanges,
  });
  return { came, ended, until, newest };
}

export const numbers = (states: StandingCounts | undefined) => {
  const { applied = 0n, failed = 0n, offline = 0n, working = 0n, waiting = 0n, neverCame = 0n, online = 0n } = states ?? {};
  return `applied ${applied} failed ${failed} offline ${offline} working ${working} waiting ${waiting} never ${neverCame} online ${online}`;
};
export const applied = (of: number, online: number, neverCame = 0) =>
  `applied ${of} failed 0 offline 0 working 0 waiting 0 never ${neverCame} online ${online}`;
export const line = ({ deviceGroup, states }: GroupOverview) => `${deviceGroup}: ${numbers(states)}`;
export const app = (name: string, fields: object = {}) => ({ name, revision: 1n, appliedRevision: 1n, state: TargetState.APPLIED, ...fields });

/** Of shops: one that is fine, one that failed, one that is offline with an old config, one that waits, and one that never came. Of tills: one that is fine. */
export async function startFleet() {
  const rig = await startFleetRig();
  await rig.put("fine", "shops", { apps: [app("web")] });
  await rig.put("broken", "shops", {
    state: TargetState.FAILED,
    apps: [app("web", { appliedRevision: 0n, state: TargetState.FAILED, failureCode: FailureCode.NO_SPACE })],
    problems: [{ code: "engine_unreachable", message: "" }],
  });
  await rig.put("gone", "shops", { groupRevision: 0n, apps: [], workerVersion: "0.0.9" });
  await rig.put("till-1", "tills", { apps: [app("web"), app("pos")] });
  for (const id of ["fine", "broken", "new"]) await rig.online(id, "shops");
  await rig.online("till-1", "tills");
  for (const id of ["fine", "absent"]) await putTestDevice(rig.accessStore, id, "shops");
  return rig;
}
