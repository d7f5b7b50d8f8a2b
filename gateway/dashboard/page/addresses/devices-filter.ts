/**
 * The devices that a list shows, and their order: in its address, as a request, as flags of nebulactl. A number of a view links to the one
 * of these that lists exactly the devices it counts, if there is one. Pure.
 */
import type { MessageInitShape } from "@bufbuild/protobuf";
import { DESCENDING, deviceOrderOf, SORT_WORDS, sortedBy } from "../../../../common/insight/text/device-sort.ts";
import { targetKindOf } from "../../../../common/resources/target-kind.ts";
import { ENTITY_KINDS, type EntityKind } from "../../../../common/storage/config-store.ts";
import { enumValue, enumWords } from "../../../../common/text/enum-words.ts";
import { ConfigStanding, ConfigStandingSchema, ConnectionState, type ListDevicesRequestSchema } from "../../../../gen/nebula/v1/device_pb.ts";
import { FailureCode, FailureCodeSchema, TargetState, TargetStateSchema } from "../../../../gen/nebula/v1/report_pb.ts";
import { commandLine } from "../parts/format.ts";

export type DevicesFilter = Readonly<{
  group?: string | undefined;
  /** applied, working or failed: of the newest report. */
  state?: string | undefined;
  /** applied, working, waiting, failed or offline: with the newest config of its device_group, as the overview counts it. */
  standing?: string | undefined;
  connection?: "online" | "offline" | undefined;
  /** Offline for longer than one of OFFLINE_TIMES. */
  longer?: string | undefined;
  /** no_space, exits, ... With the standing failed: as the overview counts it. */
  code?: string | undefined;
  /** engine_unreachable, second_worker, ... */
  problem?: string | undefined;
  failing?: boolean | undefined;
  outdated?: boolean | undefined;
  version?: string | undefined;
  /** app/web, cron_job/backup, or app/web@41 for one change: of the device_groups that it reaches. `standing` and, with failed, `code` are with it. */
  target?: string | undefined;
  /** device_id, reported:desc, ...: one of SORT_WORDS. Absent: by group and id. */
  sort?: string | undefined;
}>;

export const STATE_WORDS = enumWords(TargetStateSchema);
export const STANDING_WORDS = enumWords(ConfigStandingSchema);
export const CODE_WORDS = enumWords(FailureCodeSchema);

/** The sort after a choice of an order: that order, then the other way round, then none. */
export function nextSort(sort: string | undefined, by: string): string | undefined {
  const now = sortedBy(sort);
  if (now?.by !== by) return by;
  return now.isDescending ? undefined : `${by}${DESCENDING}`;
}

/** Milliseconds by their words, which nebulactl takes too. */
export const OFFLINE_TIMES: ReadonlyMap<string, number> = new Map([
  ["1h", 3_600_000],
  ["1d", 86_400_000],
  ["7d", 604_800_000],
  ["30d", 2_592_000_000],
]);

/** An app, cron_job or device_group. `revision`: one change of it; absent: its newest revision. */
export type DevicesTarget = Readonly<{ kind: EntityKind; name: string; revision?: bigint | undefined }>;

/** A target in a filter. */
export function targetText({ kind, name, revision }: DevicesTarget): string {
  return `${kind}/${name}${revision === undefined ? "" : `@${revision}`}`;
}

/** The target that a text names; `web` is app/web. Undefined if it names none. */
export function targetOf(text: string): DevicesTarget | undefined {
  const [, word = "app", name = "", revision] = /^(?:(app|cron_job|device_group)\/)?([^/@]+)(?:@([1-9]\d{0,18}))?$/.exec(text) ?? [];
  const kind = ENTITY_KINDS.find((kind) => kind === word);
  if (kind === undefined || name === "") return undefined;
  return { kind, name, ...(revision === undefined ? {} : { revision: BigInt(revision) }) };
}

/** The filter in the query of an address. Invalid parts are left out. */
export function devicesFilterOf(query: URLSearchParams): DevicesFilter {
  const text = (name: string) => query.get(name) || undefined;
  const oneOf = (name: string, words: ReadonlyMap<string, unknown>) => (words.has(text(name) ?? "") ? text(name) : undefined);
  const connection = text("connection");
  const target = targetOf(text("target") ?? "");
  return {
    group: text("group"),
    state: oneOf("state", STATE_WORDS),
    standing: oneOf("standing", STANDING_WORDS),
    connection: connection === "online" || connection === "offline" ? connection : undefined,
    longer: oneOf("longer", OFFLINE_TIMES),
    code: oneOf("code", CODE_WORDS),
    problem: text("problem"),
    failing: query.get("failing") === "yes" || undefined,
    outdated: query.get("outdated") === "yes" || undefined,
    version: text("version"),
    target: target && targetText(target),
    sort: SORT_WORDS.find((word) => word === text("sort")),
  };
}

/** The address of the list of these devices. */
export function devicesAddress(filter: DevicesFilter = {}): string {
  const text = filterQuery(filter);
  return text === "" ? "/ui/devices" : `/ui/devices?${text}`;
}

/** The query of an address, without its question mark. */
export function filterQuery(filter: DevicesFilter): string {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(filter)) {
    if (value === true) query.set(name, "yes");
    else if (typeof value === "string" && value !== "") query.set(name, value);
  }
  return query.toString();
}

/** The request for these devices, without its page. */
export function devicesRequest(filter: DevicesFilter): Exclude<MessageInitShape<typeof ListDevicesRequestSchema>, { $typeName: string }> {
  const longer = OFFLINE_TIMES.get(filter.longer ?? "");
  const isOffline = filter.connection === "offline" || longer !== undefined;
  const target = targetOf(filter.target ?? "");
  return {
    deviceGroup: filter.group ?? "",
    summariesOnly: true,
    ...deviceOrderOf(filter.sort),
    filter: {
      state: enumValue(TargetState, STATE_WORDS, filter.state) ?? TargetState.UNSPECIFIED,
      standing: enumValue(ConfigStanding, STANDING_WORDS, filter.standing) ?? ConfigStanding.UNSPECIFIED,
      connection: isOffline ? ConnectionState.OFFLINE : filter.connection === "online" ? ConnectionState.ONLINE : ConnectionState.UNSPECIFIED,
      offlineLongerMs: BigInt(longer ?? 0),
      failureCode: enumValue(FailureCode, CODE_WORDS, filter.code) ?? FailureCode.UNSPECIFIED,
      problem: filter.problem ?? "",
      failing: filter.failing ?? false,
      notNewest: filter.outdated ?? false,
      workerVersion: filter.version ?? "",
      ...(target !== undefined && { target: { kind: targetKindOf(target.kind), name: target.name, revision: target.revision ?? 0n } }),
    },
  };
}

/** The line of nebulactl that lists these devices. */
export function devicesCommand(filter: DevicesFilter): string {
  const { group, state, standing, connection, longer, code, problem, failing, outdated, version, target, sort } = filter;
  const flag = (name: string, value: string | undefined) => (value === undefined ? [] : [`--${name}`, value]);
  return commandLine([
    ...["nebulactl", "devices", "list"],
    ...flag("device-group", group),
    ...flag("state", state),
    ...flag("standing", standing),
    ...flag("target", target),
    ...(connection === undefined || longer !== undefined ? [] : [`--${connection}`]),
    ...flag("offline-longer", longer),
    ...flag("code", code),
    ...flag("problem", problem),
    ...(failing === true ? ["--failing"] : []),
    ...(outdated === true ? ["--not-newest"] : []),
    ...flag("worker-version", version),
    ...flag("sort", sort),
  ]);
}
