/**
 * Plans of changes: what becomes of the entities, which device_groups and devices are reached, and what each device does. A plan writes nothing.
 *
 * Devices are read group by group in pages, each counted and forgotten; between slices of them other work has its turn.
 */
import { createHash } from "node:crypto";
import { setImmediate as turn } from "node:timers/promises";
import { create } from "@bufbuild/protobuf";
import type { Clock } from "../../../common/clock/clock.ts";
import { TurnTime } from "../../../common/clock/turn-time.ts";
import { decidingRow } from "../../../common/insight/connection.ts";
import { CHANGES_DIGITS, REVISIONS_DIGITS, type ReadRevision } from "../../../common/insight/plan-name.ts";
import type { SecretKeys } from "../../../common/secrets/secret-keys.ts";
import type { AccessStore } from "../../../common/storage/access-store.ts";
import { type ConfigStore, type EntityKey, keyText, type StoredEntity } from "../../../common/storage/config-store.ts";
import type { ReportStore } from "../../../common/storage/report-store.ts";
import type { DeviceGroup } from "../../../gen/nebula/v1/device_group_pb.ts";
import { DeviceSchema } from "../../../gen/nebula/v1/device_pb.ts";
import type { Principal } from "../../access/principal.ts";
import { readableBy } from "../../access/rights/visible-pages.ts";
import { composeConfig, openSecretsOf } from "../../config/group-config.ts";
import { checkAddedMembers } from "../../entities/group-members.ts";
import type { DeviceConnections } from "../presence/device-connections.ts";
import { type ChangedTarget, FleetTally, GroupTally, type Reach } from "./group-tally.ts";
import { configWarnings, fleetWarnings, type Warning } from "./plan-warnings.ts";
import type { PlannedWrite } from "./planned-changes.ts";
import { RevisionsRead } from "./revisions-read.ts";

export type PlannerDeps = Readonly<{
  configStore: Pick<ConfigStore, "get" | "getMany" | "groupsNaming" | "history" | "cluster">;
  accessStore: Pick<AccessStore, "listDeviceTokens">;
  reportStore: Pick<ReportStore, "listDevices" | "listPresence" | "presenceOf" | "statuses">;
  deviceConnections: Pick<DeviceConnections, "withConnections" | "boots">;
  secretKeys: SecretKeys;
  clock: Clock;
}>;

/** The call that a plan is made for: the caller, and what else belongs to the plan's id. */
export type PlanCall = Readonly<{ principal: Principal; signal: AbortSignal }>;

export type ReachedGroup = Readonly<{ name: string; revision: bigint; stored: StoredEntity | undefined; reach: Reach }>;

/** The consequences of planned writes. */
export type Consequences = Readonly<{
  /** The readable device_groups that are reached, by name. */
  groups: readonly ReachedGroup[];
  hiddenGroups: number;
  fleet: FleetTally;
  warnings: readonly Warning[];
}>;

const DEVICES_A_PAGE = 200;
const TOKENS_A_PAGE = 1000;
/** Devices are planned for this long before other work has its turn. */
const SLICE_MS = 5;

/** Works out what planned writes lead to. Throws what a write of a device_group throws where a member does not exist, or must not be named by the caller. */
export async function consequencesOf(deps: PlannerDeps, writes: readonly PlannedWrite[], call: PlanCall): Promise<Consequences> {
  const { signal } = call;
  const store = storeAfter(deps.configStore, writes);
  for (const { before, after } of writes) {
    if (after?.kind === "device_group") await checkAddedMembers(store, after.deviceGroup, groupIn(before), call);
  }
  const changed = writes.filter(({ revisionAfter, revisionBefore }) => revisionAfter !== revisionBefore);
  const { visible, hidden } = await reachedGroups(deps, changed, call);
  const bodies = bodiesOf(deps, writes);
  const fleet = new FleetTally();
  const warnings: Warning[] = [];
  const groups: ReachedGroup[] = [];
  const apps = new Set(changed.filter(({ kind }) => kind === "app").map(({ name }) => name));
  for (const name of visible) {
    const stored = await deps.configStore.get({ kind: "device_group", name }, { signal });
    const composed = await composeConfig(store, name, { onRead: (entry) => openSecretsOf(deps.secretKeys, entry), signal });
    const config = composed.kind === "config" ? composed.config : undefined;
    const isWhole = changed.some((write) => write.kind === "device_group" && write.name === name);
    if (config !== undefined) warnings.push(...configWarnings(config, apps, isWhole));
    const members = new Set(
      config === undefined ? [] : [...config.apps.map((app) => `app ${app.name}`), ...config.cronJobs.map((job) => `cron_job ${job.name}`)],
    );
    const targets = changed.flatMap((write) => targetOf(write)).filter((target) => members.has(`${target.kind} ${target.name}`));
    const tally = new GroupTally(fleet, { config, cluster: deps.configStore.cluster, targets, bodies });
    await countGroup(deps, name, tally, bodies, signal);
    groups.push({ name, revision: stored?.revision ?? 0n, stored, reach: tally.reach });
  }
  return { groups, hiddenGroups: hidden, fleet, warnings: [...warnings, ...fleetWarnings(fleet)] };
}

/** The id of a plan. */
export function idOf(writes: readonly Readonly<{ fingerprint: Uint8Array }>[], read: readonly ReadRevision[]): string {
  return planId(
    writes.map(({ fingerprint }) => fingerprint),
    read,
  );
}

/** The id of a plan: 4 hexadecimal digits of its changes, 12 of the revisions that it was made from. */
export function planId(changes: readonly Uint8Array[], read: readonly ReadRevision[]): string {
  const hash = createHash("sha256");
  for (const change of changes) hash.update(`${change.length}:`).update(change);
  return hash.digest("hex").slice(0, CHANGES_DIGITS) + revisionsPart(read);
}

function revisionsPart(read: readonly ReadRevision[]): string {
  const text = JSON.stringify(read.map(({ kind, name, revision }) => [kind, name, String(revision)]));
  return createHash("sha256").update(text).digest("hex").slice(0, REVISIONS_DIGITS);
}

/** The revision that devices should have followed before the change. */
function targetOf({ kind, name, stored, revisionBefore }: PlannedWrite): ChangedTarget[] {
  return kind === "device_group" || stored === undefined || stored.deleted ? [] : [{ kind, name, revision: revisionBefore }];
}

/** The store as it is after the writes. */
function storeAfter(store: PlannerDeps["configStore"], writes: readonly PlannedWrite[]): Pick<ConfigStore, "get" | "getMany" | "cluster"> {
  const after = new Map(writes.map((write) => [keyText(write), write.storedAfter]));
  return {
    cluster: store.cluster,
    get: async (key: EntityKey, options) => after.get(keyText(key)) ?? store.get(key, options),
    getMany: async (kind, names, options) => {
      const others = names.filter((name) => !after.has(keyText({ kind, name })));
      const read = others.length === 0 ? new Map<string, StoredEntity>() : await store.getMany(kind, others, options);
      const planned = names.flatMap((name) => {
        const stored = after.get(keyText({ kind, name }));
        return stored === undefined ? [] : [[name, stored] as const];
      });
      return new Map([...read, ...planned]);
    },
  };
}

async function reachedGroups({ configStore }: PlannerDeps, changed: readonly PlannedWrite[], { principal, signal }: PlanCall) {
  const names = new Set<string>();
  for (const { kind, name } of changed) {
    if (kind === "device_group") names.add(name);
    else for (const group of await configStore.groupsNaming(kind, name, signal)) names.add(group);
  }
  const all = [...names].sort();
  const isVisible = readableBy<string>(principal, "device_group", (group) => group);
  const visible = isVisible === undefined ? all : all.filter(isVisible);
  return { visible, hidden: all.length - visible.length };
}

function bodiesOf({ configStore, secretKeys }: PlannerDeps, writes: readonly PlannedWrite[]): RevisionsRead {
  const apps = writes.filter(({ kind }) => kind === "app");
  return new RevisionsRead(
    { configStore, secretKeys },
    apps.flatMap(({ stored }) => (stored === undefined ? [] : [stored])),
    new Set(apps.filter(({ stored }) => stored === undefined).map(({ name }) => name)),
  );
}

async function countGroup(deps: PlannerDeps, deviceGroup: string, tally: GroupTally, bodies: RevisionsRead, signal: AbortSignal): Promise<void> {
  const { reportStore, accessStore, deviceConnections, clock } = deps;
  const came = new Set<string>();
  for (let after: string | undefined; ; ) {
    const page = await reportStore.listDevices({ deviceGroup }, { limit: DEVICES_A_PAGE, ...(after === undefined ? {} : { after }) }, signal);
    await bodies.readFor(
      page.items.flatMap(({ report }) => (report === undefined ? [] : [report])),
      signal,
    );
    const time = new TurnTime(clock, SLICE_MS);
    for (const device of await deviceConnections.withConnections(page.items, signal)) {
      came.add(device.deviceId);
      tally.add(device);
      if (time.isOver) await time.next(signal);
    }
    signal.throwIfAborted();
    if (page.next === undefined) break;
    after = page.next;
    await turn(); // a store in this process answers without one
  }
  await countSilent(deps, deviceGroup, tally, came, signal);
  for (let after: string | undefined; ; ) {
    const page = await accessStore.listDeviceTokens({ deviceGroup }, { limit: TOKENS_A_PAGE, ...(after === undefined ? {} : { after }) }, signal);
    tally.neverCame(page.items.filter(({ deviceId }) => !came.has(deviceId)).length);
    if (page.next === undefined) return;
    after = page.next;
    await turn();
  }
}

/** Counts the devices that connected to the group and never reported. @param came devices that were counted; these are added */
async function countSilent(
  { reportStore, deviceConnections }: PlannerDeps,
  deviceGroup: string,
  tally: GroupTally,
  came: Set<string>,
  signal: AbortSignal,
): Promise<void> {
  for (let after: string | undefined; ; ) {
    const page = await reportStore.listPresence(deviceGroup, { limit: DEVICES_A_PAGE, ...(after === undefined ? {} : { after }) }, signal);
    const ids = [...new Set(page.items.map(({ deviceId }) => deviceId))].filter((deviceId) => !came.has(deviceId));
    if (ids.length > 0) {
      const [rows, reported] = await Promise.all([reportStore.presenceOf(ids, signal), reportStore.statuses(ids, signal)]);
      const boots = await deviceConnections.boots([...rows.values()].flat(), signal);
      const deciding = (deviceId: string) => decidingRow(rows.get(deviceId) ?? [], boots);
      const here = ids.filter((deviceId) => {
        const row = reported.get(deviceId);
        const isElsewhere = (row !== undefined && row.deleted !== true) || deciding(deviceId)?.deviceGroup !== deviceGroup;
        return !isElsewhere;
      });
      const silent = here.map((deviceId) => create(DeviceSchema, { deviceId, deviceGroup }));
      for (const device of await deviceConnections.withConnections(silent, signal)) {
        came.add(device.deviceId);
        tally.add(device, deciding(device.deviceId)?.workerVersion);
      }
    }
    if (page.next === undefined) return;
    after = page.next;
    await turn();
  }
}

function groupIn(resource: PlannedWrite["before"]): DeviceGroup | undefined {
  return resource?.kind === "device_group" ? resource.deviceGroup : undefined;
}
