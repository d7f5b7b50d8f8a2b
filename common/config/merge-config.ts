import { create } from "@bufbuild/protobuf";
import { type AppEntry, AppEntrySchema, type Config, ConfigSchema, type CronJobEntry, CronJobEntrySchema } from "../../gen/nebula/v1/config_pb.ts";
import { type GroupState, LEFT_NAMES, type LeftNames, type MergedState, newest, OTHER_GROUPS } from "./merged-state.ts";

/** The outcome of a config that arrived. */
export type MergeResult = Readonly<
  /**
   * Merged with what was known of the same cluster. `ignoredEntry`: something in it was older than what is known; without it `config` is what arrived.
   * `unknown`: names of members that left before, of which an older revision arrived than was seen: `config` lacks them.
   */
  | { kind: "merged"; state: MergedState; config: Config; ignoredEntry: boolean; unknown: readonly string[] }
  /** The first config, or one of another cluster or a higher epoch: nothing that was known counts any more (R4). */
  | { kind: "new_cluster"; state: MergedState; config: Config }
  /** Of the same cluster with a lower epoch, from before a restore; or of no cluster, as no server sends one. */
  | { kind: "ignored"; reason: string }
>;

type Entry = { name: string; revision: bigint };

/**
 * R3: keeps per (kind, name) the highest revision seen in this cluster, of tombstones and names that left the group too; members and their order come from
 * the highest revision of the group. So no order, repetition or staleness of configs takes anything backwards.
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
    left: { apps: new Map(), cronJobs: new Map() },
  };
  return { kind: "new_cluster", state: fresh, config: configOf(fresh) };
}

function mergeWithin(state: MergedState, incoming: Config): MergeResult {
  const { otherGroups, known } = groupsAt(incoming.deviceGroup, state);
  const given = groupOf(incoming);
  const staleGroup = known !== undefined && given.groupRevision < known.groupRevision;
  const stalePrune = known !== undefined && given.pruneId < known.pruneId;
  const group = staleGroup ? known : given;
  const apps = highest({ known: state.apps, left: state.left.apps, incoming: incoming.apps, members: group.memberApps });
  const cronJobs = highest({ known: state.cronJobs, left: state.left.cronJobs, incoming: incoming.cronJobs, members: group.memberCronJobs });
  const merged: MergedState = {
    ...group,
    cluster: state.cluster,
    deviceGroup: incoming.deviceGroup,
    pruneId: stalePrune ? known.pruneId : given.pruneId,
    otherGroups,
    apps: apps.entries,
    cronJobs: cronJobs.entries,
    left: { apps: apps.left, cronJobs: cronJobs.left },
  };
  const ignoredEntry = staleGroup || stalePrune || apps.ignored || cronJobs.ignored;
  return { kind: "merged", state: merged, config: configOf(merged), ignoredEntry, unknown: [...apps.unknown, ...cronJobs.unknown] };
}

/** Returns the known state of a group, and of all others, when a config of it arrives. */
function groupsAt(deviceGroup: string, state: MergedState): { otherGroups: ReadonlyMap<string, GroupState>; known: GroupState | undefined } {
  if (state.deviceGroup === deviceGroup) return { otherGroups: state.otherGroups, known: state };
  const { groupRevision, pruneId, memberApps, memberCronJobs } = state;
  const otherGroups = new Map(state.otherGroups).set(state.deviceGroup, { groupRevision, pruneId, memberApps, memberCronJobs });
  const known = otherGroups.get(deviceGroup);
  otherGroups.delete(deviceGroup);
  return { otherGroups: newest(otherGroups, OTHER_GROUPS), known };
}

function groupOf({ groupRevision, pruneId, apps, cronJobs }: Config): GroupState {
  return { groupRevision, pruneId, memberApps: apps.map(({ name }) => name), memberCronJobs: cronJobs.map(({ name }) => name) };
}

/** The known and the incoming entries of one kind. */
type Kind<E extends Entry> = Readonly<{ known: ReadonlyMap<string, E>; left: LeftNames; incoming: readonly E[]; members: readonly string[] }>;

function highest<E extends Entry>({
  known,
  left,
  incoming,
  members,
}: Kind<E>): {
  entries: ReadonlyMap<string, E>;
  left: LeftNames;
  ignored: boolean;
  unknown: readonly string[];
} {
  const entries = new Map(known);
  const revisions = new Map(left);
  let ignored = false;
  for (const entry of incoming) {
    const before = entries.get(entry.name)?.revision ?? revisions.get(entry.name);
    if (before !== undefined && entry.revision < before) ignored = true;
    else entries.set(entry.name, entry);
  }
  const isMember = new Set(members);
  for (const [name, { revision }] of entries) {
    if (isMember.has(name)) revisions.delete(name);
    else {
      if (revisions.get(name) !== revision) revisions.set(name, revision);
      entries.delete(name);
    }
  }
  return { entries, left: newest(revisions, LEFT_NAMES), ignored, unknown: members.filter((name) => revisions.has(name)) };
}

/**
 * The config that a merged state stands for: the group's members, each at the highest revision seen. A member that left before, and of which only an older
 * revision came back, is not in it: without its spec it must not run, nor be taken for deleted.
 */
export function configOf(state: MergedState): Config {
  return create(ConfigSchema, {
    cluster: { id: state.cluster.id, epoch: state.cluster.epoch },
    deviceGroup: state.deviceGroup,
    groupRevision: state.groupRevision,
    pruneId: state.pruneId,
    apps: entriesOf(state.memberApps, state.apps, state.left.apps, (name): AppEntry => create(AppEntrySchema, { name })),
    cronJobs: entriesOf(state.memberCronJobs, state.cronJobs, state.left.cronJobs, (name): CronJobEntry => create(CronJobEntrySchema, { name })),
  });
}

/** @param absent the entry of a name that never existed */
function entriesOf<E>(members: readonly string[], known: ReadonlyMap<string, E>, left: LeftNames, absent: (name: string) => E): E[] {
  return members.flatMap((name) => known.get(name) ?? (left.has(name) ? [] : [absent(name)]));
}
