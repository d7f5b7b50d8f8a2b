import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { ConfigSchema } from "../../gen/nebula/v1/config_pb.ts";
import type { MergedState } from "./merged-state.ts";

/** A merged state as plain JSON, for a file. */
export type StoredMergedState = Readonly<{
  clusterId: string;
  /** Decimal digits, as all numbers here. */
  epoch: string;
  deviceGroup: string;
  groupRevision: string;
  pruneId: string;
  memberApps: readonly string[];
  memberCronJobs: readonly string[];
  /** base64 of an encoded Config that lists every entry. Binary, for fields that this version does not know must come back as well. */
  entries: string;
}>;

/** Turns a merged state into plain JSON. */
export function storeMergedState(state: MergedState): StoredMergedState {
  const entries = create(ConfigSchema, { apps: [...state.apps.values()], cronJobs: [...state.cronJobs.values()] });
  return {
    clusterId: state.cluster.id,
    epoch: String(state.cluster.epoch),
    deviceGroup: state.deviceGroup,
    groupRevision: String(state.groupRevision),
    pruneId: String(state.pruneId),
    memberApps: state.memberApps,
    memberCronJobs: state.memberCronJobs,
    entries: Buffer.from(toBinary(ConfigSchema, entries)).toString("base64"),
  };
}

/** What `storeMergedState` made, read back from a file; undefined when it is not that (a damaged file must not end a worker). */
export function restoreMergedState(stored: unknown): MergedState | undefined {
  if (typeof stored !== "object" || stored === null) return undefined;
  const fields = new Map<string, unknown>(Object.entries(stored));
  const clusterId = textOf(fields.get("clusterId"));
  const epoch = numberOf(fields.get("epoch"));
  const deviceGroup = textOf(fields.get("deviceGroup"));
  const groupRevision = numberOf(fields.get("groupRevision"));
  const pruneId = numberOf(fields.get("pruneId"));
  const memberApps = textsOf(fields.get("memberApps"));
  const memberCronJobs = textsOf(fields.get("memberCronJobs"));
  const entries = entriesOf(fields.get("entries"));
  if (clusterId === undefined || epoch === undefined || deviceGroup === undefined || groupRevision === undefined) return undefined;
  if (pruneId === undefined || memberApps === undefined || memberCronJobs === undefined || entries === undefined) return undefined;
  return { cluster: { id: clusterId, epoch }, deviceGroup, groupRevision, pruneId, memberApps, memberCronJobs, ...entries };
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
