import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { type Config, ConfigSchema } from "../../gen/nebula/v1/config_pb.ts";
import { type GroupState, LEFT_NAMES, type LeftNames, type MergedState, newest, OTHER_GROUPS } from "./merged-state.ts";

type StoredGroup = Readonly<{
  deviceGroup: string;
  /** Decimal digits, as all numbers here. */
  groupRevision: string;
  pruneId: string;
  memberApps: readonly string[];
  memberCronJobs: readonly string[];
}>;

/** A merged state as plain JSON, for a file. */
export type StoredMergedState = StoredGroup &
  Readonly<{
    clusterId: string;
    epoch: string;
    /** Absent in files of older versions, which knew of none. */
    otherGroups?: readonly StoredGroup[];
    /** base64 of an encoded Config that lists every entry. Binary, for fields that this version does not know must come back as well. */
    entries: string;
    /** Absent in files of older versions, which kept the entries of names that left the group. */
    left?: Readonly<{ apps: StoredNames; cronJobs: StoredNames }>;
  }>;

type StoredNames = readonly (readonly [name: string, revision: string])[];

/** Turns a merged state into plain JSON. */
export function storeMergedState(state: MergedState): StoredMergedState {
  const entries = create(ConfigSchema, { apps: [...state.apps.values()], cronJobs: [...state.cronJobs.values()] });
  return {
    ...storeGroup(state.deviceGroup, state),
    clusterId: state.cluster.id,
    epoch: String(state.cluster.epoch),
    otherGroups: [...state.otherGroups].map(([deviceGroup, group]) => storeGroup(deviceGroup, group)),
    entries: Buffer.from(toBinary(ConfigSchema, entries)).toString("base64"),
    left: { apps: storeNames(state.left.apps), cronJobs: storeNames(state.left.cronJobs) },
  };
}

function storeNames(names: LeftNames): StoredNames {
  return [...names].map(([name, revision]) => [name, String(revision)]);
}

function storeGroup(deviceGroup: string, { groupRevision, pruneId, memberApps, memberCronJobs }: GroupState): StoredGroup {
  return { deviceGroup, groupRevision: String(groupRevision), pruneId: String(pruneId), memberApps, memberCronJobs };
}

/** Reads the result of `storeMergedState` back from a file; undefined when it is not that (a damaged file must not end a worker). */
export function restoreMergedState(stored: unknown): MergedState | undefined {
  const fields = fieldsOf(stored);
  const clusterId = textOf(fields.get("clusterId"));
  const epoch = numberOf(fields.get("epoch"));
  const current = groupOf(stored);
  const otherGroups = groupsOf(fields.get("otherGroups") ?? []);
  const entries = entriesOf(fields.get("entries"));
  const left = leftOf(fields.get("left") ?? { apps: [], cronJobs: [] });
  if (clusterId === undefined || epoch === undefined || current === undefined || otherGroups === undefined) return undefined;
  if (entries === undefined || left === undefined) return undefined;
  const [deviceGroup, group] = current;
  const apps = membersOf(group.memberApps, entries.apps, left.apps);
  const cronJobs = membersOf(group.memberCronJobs, entries.cronJobs, left.cronJobs);
  return {
    ...group,
    cluster: { id: clusterId, epoch },
    deviceGroup,
    otherGroups: newest(otherGroups, OTHER_GROUPS),
    apps: apps.entries,
    cronJobs: cronJobs.entries,
    left: { apps: apps.left, cronJobs: cronJobs.left },
  };
}

/** Parts the members from names that left the group, whose entries an older version stored. */
function membersOf<E extends { name: string; revision: bigint }>(
  members: readonly string[],
  entries: readonly E[],
  left: LeftNames,
): { entries: ReadonlyMap<string, E>; left: LeftNames } {
  const isMember = new Set(members);
  const gone = entries.filter(({ name }) => !isMember.has(name)).map(({ name, revision }) => [name, revision] as const);
  return {
    entries: new Map(entries.filter(({ name }) => isMember.has(name)).map((entry) => [entry.name, entry])),
    left: newest(new Map([...left, ...gone]), LEFT_NAMES),
  };
}

function leftOf(value: unknown): MergedState["left"] | undefined {
  const fields = fieldsOf(value);
  const [apps, cronJobs] = [namesOf(fields.get("apps")), namesOf(fields.get("cronJobs"))];
  return apps === undefined || cronJobs === undefined ? undefined : { apps, cronJobs };
}

function namesOf(value: unknown): LeftNames | undefined {
  if (!Array.isArray(value)) return undefined;
  const names = new Map<string, bigint>();
  for (const pair of value) {
    const [name, revision] = Array.isArray(pair) ? [textOf(pair[0]), numberOf(pair[1])] : [];
    if (name === undefined || revision === undefined) return undefined;
    names.set(name, revision);
  }
  return names;
}

function groupsOf(value: unknown): ReadonlyMap<string, GroupState> | undefined {
  if (!Array.isArray(value)) return undefined;
  const groups = value.map(groupOf);
  return groups.every((group) => group !== undefined) ? new Map(groups) : undefined;
}

function groupOf(value: unknown): readonly [deviceGroup: string, GroupState] | undefined {
  const fields = fieldsOf(value);
  const deviceGroup = textOf(fields.get("deviceGroup"));
  const groupRevision = numberOf(fields.get("groupRevision"));
  const pruneId = numberOf(fields.get("pruneId"));
  const memberApps = textsOf(fields.get("memberApps"));
  const memberCronJobs = textsOf(fields.get("memberCronJobs"));
  if (deviceGroup === undefined || groupRevision === undefined || pruneId === undefined) return undefined;
  if (memberApps === undefined || memberCronJobs === undefined) return undefined;
  return [deviceGroup, { groupRevision, pruneId, memberApps, memberCronJobs }];
}

function fieldsOf(value: unknown): ReadonlyMap<string, unknown> {
  return new Map(typeof value === "object" && value !== null ? Object.entries(value) : []);
}

function entriesOf(value: unknown): Pick<Config, "apps" | "cronJobs"> | undefined {
  if (typeof value !== "string") return undefined;
  try {
    return fromBinary(ConfigSchema, Buffer.from(value, "base64"));
  } catch {
    return undefined;
  }
}

function textOf(value: unknown): string | undefined {
  return typeof value === "string" ? value : undefined;
}

function textsOf(value: unknown): readonly string[] | undefined {
  return Array.isArray(value) && value.every((one) => typeof one === "string") ? value : undefined;
}

function numberOf(value: unknown): bigint | undefined {
  return typeof value === "string" && /^\d{1,20}$/.test(value) ? BigInt(value) : undefined;
}
