/**
 * The target of a filter of devices: what devices follow at a revision, as WatchApply counts them, and the device_groups that it reaches.
 */
import { fromBinary } from "@bufbuild/protobuf";
import { type FilterContext, hasFilter, matchesFilter, type SeenDevice } from "../../../common/insight/device-filter.ts";
import { type Member, stateOfDevice, type Target } from "../../../common/insight/device-state.ts";
import { entityKindOf } from "../../../common/resources/target-kind.ts";
import type { ConfigStore, EntityKey, StoredEntity } from "../../../common/storage/config-store.ts";
import { noSuch } from "../../../common/text/no-such.ts";
import { AppSchema } from "../../../gen/nebula/v1/app_pb.ts";
import { DeviceGroupSchema } from "../../../gen/nebula/v1/device_group_pb.ts";
import { type DeviceFilter, type DeviceTarget, TargetKind } from "../../../gen/nebula/v1/device_pb.ts";
import type { Principal } from "../../access/principal.ts";
import { assertPermitted } from "../../access/rights/permit.ts";
import { storedRevision } from "../../entities/revisions.ts";
import { reachOf } from "../../insight/apply/apply-targets.ts";

/** The target of a filter as it is now. */
export type Followed = Readonly<{ target: Target; deviceGroups: ReadonlySet<string> }>;

export type TargetStore = Pick<ConfigStore, "get" | "history" | "groupsNaming" | "revisions">;

/** Throws `permission_denied` unless the caller may read the target of a filter. */
export function assertMayReadTarget(principal: Principal, filter: DeviceFilter | undefined): void {
  if (filter?.target !== undefined) assertPermitted(principal, { kind: "read", entity: keyOf(filter.target) }, false);
}

/** Reads the target of a valid filter; undefined if it has none. Rejects with `not_found` for a name that never was, and a revision that is not kept. */
export async function followedOf(store: TargetStore, filter: DeviceFilter | undefined, signal: AbortSignal): Promise<Followed | undefined> {
  if (filter?.target === undefined) return undefined;
  const key = keyOf(filter.target);
  const newest = await store.get(key, { signal });
  if (newest === undefined) throw noSuch(key.kind, key.name);
  const { stored, before } = await storedRevision(store, key, filter.target.revision || newest.revision, signal);
  const target = targetOf(stored, before);
  const reach = await reachOf(store, [target], signal);
  return { target, deviceGroups: new Set(reach.keys()) };
}

/** Whether a device of a group matches a filter, at a time. @param followed the target of the filter */
export function matcherOf(
  filter: DeviceFilter | undefined,
  deviceGroup: string,
  compared: Pick<FilterContext, "newest" | "standingOf">,
  followed: Followed | undefined,
): (device: SeenDevice, nowMs: number) => boolean {
  if (!hasFilter(filter)) return () => true;
  if (followed?.deviceGroups.has(deviceGroup) === false) return () => false;
  const standingOf = followed === undefined ? compared.standingOf : (device: SeenDevice) => stateOfDevice(device, [followed.target]);
  return (device, nowMs) => matchesFilter(device, filter, { nowMs, newest: compared.newest, standingOf });
}

function keyOf({ kind, name }: DeviceTarget): EntityKey {
  return { kind: entityKindOf(kind) ?? "app", name };
}

/** The target that a revision leads devices to. @param before the kept revision before it */
function targetOf(stored: StoredEntity, before: StoredEntity | undefined): Target {
  const { kind, name, revision, deleted, body } = stored;
  switch (kind) {
    case "app": {
      const isStopped = !deleted && fromBinary(AppSchema, body).running === false;
      return { kind: TargetKind.APP, name, revision, verb: deleted ? "delete" : isStopped ? "stop" : "update" };
    }
    case "cron_job":
      return { kind: TargetKind.CRON_JOB, name, revision, verb: deleted ? "delete" : "update" };
    case "device_group": {
      if (deleted) return { kind: TargetKind.DEVICE_GROUP, name, revision, verb: "delete" };
      const { pruneId } = fromBinary(DeviceGroupSchema, body);
      if (stored.action === "prune") return { kind: TargetKind.DEVICE_GROUP, name, revision, verb: "prune", pruneId };
      const [is, was] = [membersOf(stored), membersOf(before)];
      return { kind: TargetKind.DEVICE_GROUP, name, revision, verb: "update", added: without(is, was), removed: without(was, is) };
    }
    default:
      return kind satisfies never;
  }
}

function membersOf(group: StoredEntity | undefined): Member[] {
  if (group === undefined || group.deleted) return [];
  const { apps, cronJobs } = fromBinary(DeviceGroupSchema, group.body);
  return [...apps.map((name): Member => ({ kind: TargetKind.APP, name })), ...cronJobs.map((name): Member => ({ kind: TargetKind.CRON_JOB, name }))];
}

function without(members: readonly Member[], others: readonly Member[]): Member[] {
  return members.filter(({ kind, name }) => !others.some((other) => other.kind === kind && other.name === name));
}
