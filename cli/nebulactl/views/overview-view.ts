import type { JsonObject } from "@bufbuild/protobuf";
import { DEVICE_STATES } from "../../../common/insight/device-state.ts";
import { printableLine } from "../../../common/printable.ts";
import { jsonNumber } from "../../../common/resources/resource-fields.ts";
import { entityKindOf } from "../../../common/resources/target-kind.ts";
import { ageOf } from "../../../common/text/age.ts";
import { type Cell, red } from "../../../common/text/cell.ts";
import { enumWord } from "../../../common/text/enum-words.ts";
import { counted } from "../../../common/text/wording.ts";
import {
  type ChangeOverview,
  type FleetOverview,
  FleetOverviewSchema,
  type GroupOverview,
  GroupOverviewSchema,
  type NewestRevision,
  type StandingCounts,
} from "../../../gen/nebula/v1/fleet_pb.ts";
import { FailureCodeSchema } from "../../../gen/nebula/v1/report_pb.ts";
import type { ListView } from "../output/print-list.ts";
import { protoJson } from "../output/proto-json.ts";
import { changeList } from "./revision-view.ts";

/** Versions and problems that a line names. */
const SHOWN = 5;

/** A fleet in a few lines: devices by state, failures by code, problems, and workers by version. */
export function fleetLines({ states, failureCodes, workerVersions, problems, deviceGroups, uncountedGroups, original }: FleetOverview): string[] {
  const parts = DEVICE_STATES.map((state) => `${states?.[state] ?? 0n} ${state}`);
  const never = states?.neverCame ?? 0n;
  const versions = workerVersions.map(({ workerVersion, devices }) => `${workerVersion || "of the original"} on ${devices}`);
  return [
    `${counted(devicesOf(states), "device")} in ${counted(deviceGroups, "device_group")}: ${parts.join(", ")}${never === 0n ? "" : `; ${never} enrolled that never came`}`,
    ...(uncountedGroups === 0n
      ? []
      : [`${counted(uncountedGroups, "device_group")} not counted: the server has no room for the summaries of its devices`]),
    ...(failureCodes.length === 0
      ? []
      : [
          `failed: ${failureCodes.map(({ failureCode, devices }) => `${devices} ${enumWord(FailureCodeSchema, failureCode) || "without a code"}`).join(", ")}`,
        ]),
    ...listLine(
      "problems",
      problems.map(({ code, devices }) => `${devices} ${code}`),
    ),
    ...listLine("workers", versions.length === 0 && original > 0n ? [`of the original on ${original}`] : versions),
  ].map(printableLine);
}

function listLine(title: string, items: readonly string[]): string[] {
  const more = items.length > SHOWN ? `, and ${items.length - SHOWN} more` : "";
  return items.length === 0 ? [] : [`${title}: ${items.slice(0, SHOWN).join(", ")}${more}`];
}

/** All devices that reported or connected. */
function devicesOf(states: StandingCounts | undefined): bigint {
  return DEVICE_STATES.reduce((sum, state) => sum + (states?.[state] ?? 0n), 0n);
}

/** Device_groups, a line each. @param now wall clock, milliseconds since 1970 */
export function groupList(now: number): ListView<GroupOverview> {
  return {
    plural: "device_groups",
    header: ["DEVICE_GROUP", "DEVICES", "APPLIED", "WORKING", "WAITING", "FAILED", "OFFLINE", "NEVER CAME", "NEWEST CHANGE"],
    row: ({ deviceGroup, states, newestChange, uncounted }) => [
      deviceGroup,
      uncounted ? "not counted" : String(devicesOf(states)),
      ...stateCells(states),
      String(states?.neverCame ?? 0n),
      newestChange === undefined ? "" : changedText(newestChange, now),
    ],
    json: (group) => protoJson(GroupOverviewSchema, group),
  };
}

/** Applied, working, waiting, failed, offline. */
function stateCells(states: StandingCounts | undefined): Cell[] {
  const { applied = 0n, working = 0n, waiting = 0n, failed = 0n, offline = 0n } = states ?? {};
  return [String(applied), String(working), String(waiting), failedCell(failed), offline === 0n ? "0" : { text: String(offline), color: "yellow" }];
}

function failedCell(failed: bigint): Cell {
  return failed === 0n ? "0" : red(String(failed));
}

/** `web 42, 12 min ago by ci`; of a device_group `revision 7, ...`. */
function changedText({ kind, name, revision, change }: NewestRevision, now: number): string {
  const what = entityKindOf(kind) === "device_group" ? `revision ${revision}` : `${name} ${revision}`;
  return `${what}, ${ageOf(change?.at, now)} ago by ${change?.by ?? ""}`;
}

export function overviewJson(fleet: FleetOverview, groups: readonly GroupOverview[]): JsonObject {
  return { fleet: protoJson(FleetOverviewSchema, fleet), device_groups: groups.map((group) => protoJson(GroupOverviewSchema, group)) };
}

/** Changes and the devices that they reached, by time. @param now wall clock, milliseconds since 1970 */
export function reachedList(now: number): ListView<ChangeOverview> {
  const changes = changeList(now);
  return {
    plural: "changes in the last hour",
    header: [...changes.header, "APPLIED", "PENDING", "FAILED"],
    row: ({ change, states, superseded }) => {
      const shown = change === undefined ? changes.header.map(() => "") : changes.row(change);
      if (superseded) return [...shown, "superseded"];
      return states === undefined ? shown : [...shown, String(states.applied), String(pendingOf(states)), failedCell(states.failed)];
    },
    json: async ({ change, states, superseded }) => {
      const { applied = 0n, failed = 0n, offline = 0n, working = 0n, waiting = 0n } = states ?? {};
      const devices = Object.entries({ applied, failed, offline, working, waiting }).map(([state, number]) => [state, jsonNumber(number)]);
      const json = change === undefined ? {} : await changes.json(change);
      return { ...Object(json), superseded, ...(states === undefined ? {} : { devices: Object.fromEntries(devices) }) };
    },
  };
}

/** Devices that did not apply it yet, and did not fail. */
function pendingOf({ offline, working, waiting }: StandingCounts): bigint {
  return offline + working + waiting;
}
