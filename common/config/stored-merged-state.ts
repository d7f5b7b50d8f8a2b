import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { ConfigSchema } from "../../gen/nebula/v1/config_pb.ts";
import type { GroupState, MergedState } from "./merged-state.ts";

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
  }>;

/** Turns a merged state into plain JSON. */
export function storeMergedState(state: MergedState): StoredMergedState {
  const entries = create(ConfigSchema, { apps: [...state.apps.values()], cronJobs: [...state.cronJobs.values()] });
  return {
    ...storeGroup(state.deviceGroup, state),
    clusterId: state.cluster.id,
    epoch: String(state.cluster.epoch),
    otherGroups: [...state.otherGroups].map(([deviceGroup, group]) => storeGroup(deviceGroup, group)),
    entries: Buffer.from(toBinary(ConfigSchema, entries)).toString("base64"),
  };
}

function storeGroup(deviceGroup: string, { groupRevision, pruneId, memberApps, memberCronJobs }: GroupState): StoredGroup {
  return { deviceGroup, groupRevision: String(groupRevision), pruneId: String(pruneId), memberApps, memberCronJobs };
}

/** What `storeMergedState` made, read back from a file; undefined when it is not that (a damaged file must not end a worker). */
export function restoreMergedState(stored: unknown): MergedState | undefined {
  const fields = fieldsOf(stored);
  const clusterId = textOf(fields.get("clusterId"));
  const epoch = numberOf(fields.get("epoch"));
  const current = groupOf(stored);
  const otherGroups = groupsOf(fields.get("otherGroups") ?? []);
  const entries = entriesOf(fields.get("entries"));
  if (clusterId === undefined || epoch === undefined || current === undefined || otherGroups === undefined || entries === undefined) return undefined;
  const [deviceGroup, group] = current;
  return { ...group, cluster: { id: clusterId, epoch }, deviceGroup, otherGroups, ...entries };
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

function entriesOf(value: unknown): Pick<MergedState, "apps" | "cronJobs"> | undefined {
  if (typeof value !== "string") return undefined;
  try {
    const { apps, cronJobs } = fromBinary(ConfigSchema, Buffer.from(value, "base64"));
    return { apps: new Map(apps.map((entry) => [entry.name, entry])), cronJobs: new Map(cronJobs.map((entry) => [entry.name, entry])) };
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
