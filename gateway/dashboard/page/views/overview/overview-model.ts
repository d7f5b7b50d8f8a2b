/** The part of the API's numbers that the overview shows. Pure. */
import { timestampMs } from "@bufbuild/protobuf/wkt";
import { printableLine } from "../../../../../common/printable.ts";
import { entityKindOf } from "../../../../../common/resources/target-kind.ts";
import { enumWord } from "../../../../../common/text/enum-words.ts";
import type {
  ChangeOverview,
  FleetOverview,
  GetOverviewResponse,
  GroupOverview,
  NewestRevision,
  StandingCounts,
} from "../../../../../gen/nebula/v1/fleet_pb.ts";
import { FailureCodeSchema } from "../../../../../gen/nebula/v1/report_pb.ts";
import { type DevicesFilter, devicesAddress, targetText } from "../../addresses/devices-filter.ts";
import { type ChangeName, changeAddress, groupAddress } from "../../addresses/entity-addresses.ts";
import { formatCount } from "../../parts/format.ts";

/** Devices in one state: the number, and where exactly these are listed; undefined: nowhere. */
export type StateCount = Readonly<{ state: Standing; word: string; count: bigint; to: string | undefined }>;

export type Standing = "applied" | "working" | "waiting" | "failed" | "offline" | "never-came";

/** Where the list of a filter is shown. */
type AddressOf = (filter: DevicesFilter) => string;

/** The states in the order of a bar. */
const STANDINGS: readonly Readonly<{ state: Standing; word: string; of: (counts: StandingCounts) => bigint }>[] = [
  { state: "applied", word: "applied", of: ({ applied }) => applied },
  { state: "working", word: "working", of: ({ working }) => working },
  { state: "waiting", word: "waiting", of: ({ waiting }) => waiting },
  { state: "failed", word: "failed", of: ({ failed }) => failed },
  { state: "offline", word: "offline", of: ({ offline }) => offline },
  { state: "never-came", word: "never came", of: ({ neverCame }) => neverCame },
];

/**
 * The devices by state with the newest config of their device_groups.
 * @param listed where they are listed; undefined: no list has exactly these
 */
export function stateCounts(
  counts: StandingCounts | undefined,
  listed: DevicesFilter | undefined,
  addressOf: AddressOf = devicesAddress,
): readonly StateCount[] {
  return STANDINGS.map(({ state, word, of }) => ({
    state,
    word,
    count: counts === undefined ? 0n : of(counts),
    to: listed === undefined || state === "never-came" ? undefined : addressOf({ ...listed, standing: state }),
  }));
}

/** Where the devices of a fleet are listed; undefined: the list has those of device_groups that were not counted, too. */
export function listedOf({ uncountedGroups }: Pick<FleetOverview, "uncountedGroups">): DevicesFilter | undefined {
  return uncountedGroups > 0n ? undefined : {};
}

/** All devices that reported, or connected. */
export function devicesOf(counts: StandingCounts | undefined): bigint {
  return stateCounts(counts, undefined).reduce((sum, { state, count }) => (state === "never-came" ? sum : sum + count), 0n);
}

/** The devices that are connected, and where they are listed; undefined: nowhere, or there are none. */
export function onlineCount(
  counts: StandingCounts | undefined,
  listed: DevicesFilter | undefined,
  addressOf: AddressOf = devicesAddress,
): Readonly<{ count: bigint; to: string | undefined }> {
  const count = counts?.online ?? 0n;
  return { count, to: listed === undefined || count === 0n ? undefined : addressOf({ ...listed, connection: "online" }) };
}

export type NamedChange = Readonly<{
  /** `app web` */
  what: string;
  /** Its page. */
  to: string | undefined;
  by: string;
  /** Milliseconds since 1970. */
  at: number | undefined;
}>;

export type GroupLine = Readonly<{
  name: string;
  to: string;
  /** Undefined: they were not counted, for lack of room. */
  devices: bigint | undefined;
  /** Empty: not counted. */
  states: readonly StateCount[];
  /** The newest change; undefined if none is kept. */
  change: NamedChange | undefined;
  exists: boolean;
}>;

export function groupLines({ groups }: GetOverviewResponse): readonly GroupLine[] {
  return groups.map(groupLine);
}

function groupLine({ deviceGroup, revision, states, newestChange, uncounted }: GroupOverview): GroupLine {
  return {
    name: deviceGroup,
    to: groupAddress(deviceGroup),
    devices: uncounted ? undefined : devicesOf(states),
    states: uncounted ? [] : stateCounts(states, { group: deviceGroup }),
    change: newestChange && namedChange(newestChange),
    exists: revision > 0n,
  };
}

/** Names a change of an entity by the revision that it made. */
function namedChange({ kind: number, name, revision, change }: Pick<NewestRevision, "kind" | "name" | "revision" | "change">): NamedChange {
  const kind = entityKindOf(number);
  return {
    what: printableLine(`${kind ?? "change of"} ${name}`),
    to: kind === undefined ? undefined : changeAddress({ kind, name, revision }),
    by: printableLine(change?.by ?? ""),
    at: change?.at === undefined ? undefined : timestampMs(change.at),
  };
}

export type ChangeLine = NamedChange &
  Readonly<{
    key: string;
    revision: bigint;
    detail: string;
    isSuperseded: boolean;
    /** Empty: it reaches no devices, or they are not counted. */
    states: readonly StateCount[];
    devices: bigint;
  }>;

export function changeLines({ fleet, recentChanges }: GetOverviewResponse): readonly ChangeLine[] {
  const listed = fleet === undefined ? undefined : listedOf(fleet);
  return (recentChanges?.changes ?? []).map((change) => changeLine(change, listed));
}

/** That there are more changes than are shown, and which line lists them; undefined if there are not. */
export function moreChangesText({ recentChanges }: GetOverviewResponse, shown: number): string | undefined {
  const { changes = [], more = false } = recentChanges ?? {};
  const hidden = Math.max(0, changes.length - shown);
  if (hidden === 0 && !more) return undefined;
  return `and ${more ? "more than " : ""}${formatCount(hidden)} more, which this line lists:`;
}

/** @param listed where the devices of the fleet are listed */
function changeLine({ change, states, superseded }: ChangeOverview, listed: DevicesFilter | undefined): ChangeLine {
  const kind = entityKindOf(change?.kind ?? 0);
  const [name, revision] = [change?.name ?? "", change?.revisionAfter ?? 0n];
  const counts = stateCounts(states, listed && kind && { ...listed, ...followersOf({ kind, name, revision }) });
  return {
    ...namedChange({ kind: change?.kind ?? 0, name, revision, change: change?.change }),
    key: `${kind}/${name}/${revision}`,
    revision,
    detail: printableLine(change?.detail ?? ""),
    isSuperseded: superseded,
    states: devicesOf(states) === 0n ? [] : counts,
    devices: devicesOf(states),
  };
}

/** The devices that the newest change of an entity reaches, as an overview counts them: those of a device_group by its whole config. */
function followersOf({ kind, name, revision }: ChangeName): DevicesFilter {
  return kind === "device_group" ? { group: name } : { target: targetText({ kind, name, revision }) };
}

/** Devices by a word, and where exactly these are listed; undefined: nowhere. */
export type Tally = Readonly<{ key: string; word: string; count: bigint; to: string | undefined }>;

/** Longer texts are refused by the API in a filter, characters. */
const LONGEST_PROBLEM = 256;
const LONGEST_VERSION = 64;

/** The failures of a fleet by code, then what is wrong with devices as a whole; the most frequent of each first. */
export function failureTallies(fleet: FleetOverview, addressOf: AddressOf = devicesAddress): readonly Tally[] {
  const to = linkIn(fleet, addressOf);
  const codes = fleet.failureCodes.map(({ failureCode, devices }) => {
    const code = enumWord(FailureCodeSchema, failureCode);
    return {
      key: `code ${failureCode}`,
      word: code || "without a code",
      count: devices,
      to: code === "" ? undefined : to({ standing: "failed", code }),
    };
  });
  const problems = fleet.problems.map(({ code, devices }) => ({
    key: `problem ${code}`,
    word: printableLine(code),
    count: devices,
    to: code === "" || code.length > LONGEST_PROBLEM ? undefined : to({ problem: code }),
  }));
  return [...codes, ...problems];
}

export function versionTallies(fleet: FleetOverview): readonly Tally[] {
  const to = linkIn(fleet, devicesAddress);
  const versions = fleet.workerVersions.filter(({ workerVersion }) => workerVersion !== "");
  return [
    ...versions.map(({ workerVersion: version, devices }) => ({
      key: `version ${version}`,
      word: printableLine(version),
      count: devices,
      to: version.length > LONGEST_VERSION ? undefined : to({ version }),
    })),
    ...(fleet.original > 0n ? [{ key: "original", word: "the original", count: fleet.original, to: undefined }] : []),
  ];
}

function linkIn(fleet: FleetOverview, addressOf: AddressOf): (filter: DevicesFilter) => string | undefined {
  const listed = listedOf(fleet);
  return (filter) => (listed === undefined ? undefined : addressOf({ ...listed, ...filter }));
}
