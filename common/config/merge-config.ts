import { create } from "@bufbuild/protobuf";
import { type AppEntry, AppEntrySchema, type Config, ConfigSchema, type CronJobEntry, CronJobEntrySchema } from "../../gen/nebula/v1/config_pb.ts";
import type { GroupState, MergedState } from "./merged-state.ts";

/** What came of a config that arrived. */
export type MergeResult = Readonly<
  /** Merged with what was known of the same cluster. `ignoredEntry`: something in it was older than what is known; without it `config` is what arrived. */
  | { kind: "merged"; state: MergedState; config: Config; ignoredEntry: boolean }
  /** The first config, or one of another cluster or a higher epoch: nothing that was known counts any more (R4). */
  | { kind: "new_cluster"; state: MergedState; config: Config }
  /** Of the same cluster with a lower epoch, from before a restore; or of no cluster, as no server sends one. */
  | { kind: "ignored"; reason: string }
>;

type Entry = { name: string; revision: bigint };

/**
 * R3: keeps per (kind, name) the highest revision ever seen in this cluster, tombstones and names that left the group included; members and their order come
 * from the highest revision of the group. So no order, repetition or staleness of configs takes anything backwards.
 * Pure: neither argument is changed.
 */
export function mergeConfig(state: MergedState | undefined, incoming: Config): MergeResult {
  const cluster = { id: incoming.cluster?.id ?? "", epoch: incoming.cluster?.epoch ?? 0n };
  if (cluster.id === "") return { kind: "ignored", reason: "the config names no cluster, so its revisions say nothing" };
  if (state !== undefined && state.cluster.id === cluster.id) {
    if (cluster.epoch < state.cluster.epoch) {
      return {
        kind: "ignored",
        reason: `epoch ${cluster.epoch} of cluster ${cluster.id} is older than ${state.cluster.epoch}, which this device followed`,
      };
    }
    if (cluster.epoch === state.cluster.epoch) return mergeWithin(state, incoming);
  }
  const fresh: MergedState = {
    ...groupOf(incoming),
    cluster,
    deviceGroup: incoming.deviceGroup,
    otherGroups: new Map(),
    apps: new Map(incoming.apps.map((entry) => [entry.name, entry])),
    cronJobs: new Map(incoming.cronJobs.map((entry) => [entry.name, entry])),
  };
  return { kind: "new_cluster", state: fresh, config: configOf(fresh) };
}

function mergeWithin(state: MergedState, incoming: Config): MergeResult {
  const apps = highest(state.apps, incoming.apps);
  const cronJobs = highest(state.cronJobs, incoming.cronJobs);
  const { otherGroups, known } = groupsAt(incoming.deviceGroup, state);
  const given = groupOf(incoming);
  const staleGroup = known !== undefined && given.groupRevision < known.groupRevision;
  const stalePrune = known !== undefined && given.pruneId < known.pruneId;
  const merged: MergedState = {
    ...(staleGroup ? known : given),
    cluster: state.cluster,
    deviceGroup: incoming.deviceGroup,
    pruneId: stalePrune ? known.pruneId : given.pruneId,
    otherGroups,
    apps: apps.entries,
    cronJobs: cronJobs.entries,
  };
  return { kind: "merged", state: merged, config: configOf(merged), ignoredEntry: staleGroup || stalePrune || apps.ignored || cronJobs.ignored };
}

/** What is known of a group, and of all others, when a config of it comes. */
function groupsAt(deviceGroup: string, state: MergedState): { otherGroups: ReadonlyMap<string, GroupState>; known: GroupState | undefined } {
  if (state.deviceGroup === deviceGroup) return { otherGroups: state.otherGroups, known: state };
  const { groupRevision, pruneId, memberApps, memberCronJobs } = state;
  const otherGroups = new Map(state.otherGroups).set(state.deviceGroup, { groupRevision, pruneId, memberApps, memberCronJobs });
  const known = otherGroups.get(deviceGroup);
  otherGroups.delete(deviceGroup);
  return { otherGroups, known };
}

function groupOf({ groupRevision, pruneId, apps, cronJobs }: Config): GroupState {
  return { groupRevision, pruneId, memberApps: apps.map(({ name }) => name), memberCronJobs: cronJobs.map(({ name }) => name) };
}

function highest<E extends Entry>(known: ReadonlyMap<string, E>, incoming: readonly E[]): { entries: ReadonlyMap<string, E>; ignored: boolean } {
  const entries = new Map(known);
  let ignored = false;
  for (const entry of incoming) {
    const before = entries.get(entry.name);
    if (before === undefined || entry.revision >= before.revision) entries.set(entry.name, entry);
    else ignored = true;
  }
  return { entries, ignored };
}

/** The config that a merged state stands for: the group's members, each at the highest revision seen. */
export function configOf(state: MergedState): Config {
  return create(ConfigSchema, {
    cluster: { id: state.cluster.id, epoch: state.cluster.epoch },
    deviceGroup: state.deviceGroup,
    groupRevision: state.groupRevision,
    pruneId: state.pruneId,
    apps: state.memberApps.map((name): AppEntry => state.apps.get(name) ?? create(AppEntrySchema, { name })),
    cronJobs: state.memberCronJobs.map((name): CronJobEntry => state.cronJobs.get(name) ?? create(CronJobEntrySchema, { name })),
  });
}
