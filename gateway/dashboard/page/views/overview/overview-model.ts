/** What the overview shows of the API's numbers. Pure. */
import { timestampMs } from "@bufbuild/protobuf/wkt";
import { entityKindOf } from "../../../../../common/resources/target-kind.ts";
import { enumWord } from "../../../../../common/text/enum-words.ts";
import type { ChangeOverview, FleetOverview, GetOverviewResponse, GroupOverview, StandingCounts } from "../../../../../gen/nebula/v1/fleet_pb.ts";
import { FailureCodeSchema } from "../../../../../gen/nebula/v1/report_pb.ts";
import { type DevicesFilter, devicesAddress } from "../../addresses/devices-filter.ts";
import { changeAddress, groupAddress } from "../../addresses/entity-addresses.ts";

/** Devices in one state: the number, and where they are listed. */
export type StateCount = Readonly<{ state: Standing; word: string; count: bigint; to: string | undefined }>;

export type Standing = "applied" | "working" | "waiting" | "failed" | "offline" | "never-came";

/** The states in the order of a bar, and the list of each. */
const STANDINGS: readonly Readonly<{ state: Standing; word: string; of: (counts: StandingCounts) => bigint; filter: DevicesFilter | undefined }>[] = [
  { state: "applied", word: "applied", of: ({ applied }) => applied, filter: { state: "applied" } },
  { state: "working", word: "working", of: ({ working }) => working, filter: { state: "working" } },
  { state: "waiting", word: "waiting", of: ({ waiting }) => waiting, filter: { connection: "online", outdated: true } },
  { state: "failed", word: "failed", of: ({ failed }) => failed, filter: { failing: true } },
  { state: "offline", word: "offline", of: ({ offline }) => offline, filter: { connection: "offline" } },
  { state: "never-came", word: "never came", of: ({ neverCame }) => neverCame, filter: undefined },
];

/** The devices by state, all of them or those of a device_group. */
export function stateCounts(counts: StandingCounts | undefined, group?: string): readonly StateCount[] {
  return STANDINGS.map(({ state, word, of, filter }) => ({
    state,
    word,
    count: counts === undefined ? 0n : of(counts),
    to: filter === undefined ? undefined : devicesAddress({ group, ...filter }),
  }));
}

/** All devices that reported, or connected. */
export function devicesOf(counts: StandingCounts | undefined): bigint {
  return stateCounts(counts).reduce((sum, { state, count }) => (state === "never-came" ? sum : sum + count), 0n);
}

export type GroupLine = Readonly<{
  name: string;
  to: string;
  devices: bigint;
  states: readonly StateCount[];
  failed: bigint;
  /** Of its newest change, milliseconds since 1970. */
  changedAt: number | undefined;
  changed: string;
  isUncounted: boolean;
  exists: boolean;
}>;

export function groupLines({ groups }: GetOverviewResponse): readonly GroupLine[] {
  return groups.map(groupLine);
}

function groupLine({ deviceGroup, revision, states, newestChange, uncounted }: GroupOverview): GroupLine {
  const at = newestChange?.change?.at;
  return {
    name: deviceGroup,
    to: groupAddress(deviceGroup),
    devices: devicesOf(states),
    states: stateCounts(states, deviceGroup),
    failed: states?.failed ?? 0n,
    changedAt: at === undefined ? undefined : timestampMs(at),
    changed: newestChange === undefined ? "" : `${entityKindOf(newestChange.kind)} ${newestChange.name}`,
    isUncounted: uncounted,
    exists: revision > 0n,
  };
}

export type ChangeLine = Readonly<{
  key: string;
  /** `app web` */
  what: string;
  /** Its page. */
  to: string | undefined;
  revision: bigint;
  detail: string;
  by: string;
  at: number | undefined;
  isSuperseded: boolean;
  /** Empty: it reaches no devices, or they are not counted. */
  states: readonly StateCount[];
  devices: bigint;
  applied: bigint;
}>;

export function changeLines({ recentChanges }: GetOverviewResponse): readonly ChangeLine[] {
  return (recentChanges?.changes ?? []).map(changeLine);
}

function changeLine({ change, states, superseded }: ChangeOverview): ChangeLine {
  const kind = entityKindOf(change?.kind ?? 0);
  const [name, revision] = [change?.name ?? "", change?.revisionAfter ?? 0n];
  const at = change?.change?.at;
  return {
    key: `${kind}/${name}/${revision}`,
    what: `${kind ?? "change of"} ${name}`,
    to: kind === undefined ? undefined : changeAddress({ kind, name, revision }),
    revision,
    detail: change?.detail ?? "",
    by: change?.change?.by ?? "",
    at: at === undefined ? undefined : timestampMs(at),
    isSuperseded: superseded,
    states: devicesOf(states) === 0n ? [] : stateCounts(states),
    devices: devicesOf(states),
    applied: states?.applied ?? 0n,
  };
}

export type Tally = Readonly<{ word: string; count: bigint; to: string | undefined }>;

/** The failures of a fleet by code, then what is wrong with devices as a whole; the most frequent of each first. */
export function failureTallies({ failureCodes, problems }: FleetOverview): readonly Tally[] {
  const codes = failureCodes.map(({ failureCode, devices }) => {
    const code = enumWord(FailureCodeSchema, failureCode);
    return { word: code || "without a code", count: devices, to: devicesAddress(code === "" ? { failing: true } : { code }) };
  });
  return [...codes, ...problems.map(({ code, devices }) => ({ word: code, count: devices, to: devicesAddress({ failing: true }) }))];
}

export function versionTallies({ workerVersions, original }: FleetOverview): readonly Tally[] {
  const versions = workerVersions.filter(({ workerVersion }) => workerVersion !== "");
  return [
    ...versions.map(({ workerVersion, devices }) => ({ word: workerVersion, count: devices, to: devicesAddress({ version: workerVersion }) })),
    ...(original > 0n ? [{ word: "the original", count: original, to: undefined }] : []),
  ];
}
