import { timestampMs } from "@bufbuild/protobuf/wkt";
import { DeviceStandingSchema } from "../../../gen/nebula/v1/apply_pb.ts";
import { ConnectionState, type Device, type DeviceSummary, TargetKind, type TargetSummary } from "../../../gen/nebula/v1/device_pb.ts";
import { FailureCodeSchema, TargetState } from "../../../gen/nebula/v1/report_pb.ts";
import { formatAge } from "../../text/age.ts";
import type { Cell } from "../../text/cell.ts";
import { enumWord } from "../../text/enum-words.ts";
import { containersCell, problemsOf, stateCell } from "./report-text.ts";

/** `3 d`, or `offline 13 min`; empty if the server does not know it. */
export function connectedCell({ connection }: Pick<Device, "connection">, now: number): Cell {
  const age = connection?.since === undefined ? undefined : formatAge(now - timestampMs(connection.since));
  switch (connection?.state) {
    case ConnectionState.ONLINE:
      return age ?? "online";
    case ConnectionState.OFFLINE:
      return { text: age === undefined ? "offline" : `offline ${age}`, color: "yellow" };
    default:
      return "";
  }
}

/** The last known state, in the colour of a fine one only where the device is not offline. */
export function lastStateCell({ connection, report, summary }: Device): Cell {
  const cell = stateCell(summary?.state ?? report?.state ?? TargetState.UNSPECIFIED);
  const offline = connection?.state === ConnectionState.OFFLINE;
  return offline && typeof cell !== "string" && cell.color === "green" ? cell.text : cell;
}

/** Containers of apps that are up to date and well, of those that are wanted: `2/3`; `stopped` if all apps are. */
export function wellCell({ summary, report }: Device): Cell {
  if (summary === undefined) return report === undefined ? "" : containersCell(report);
  const apps = summary.targets.filter(({ kind }) => kind === TargetKind.APP);
  const wanted = apps.reduce((sum, { containers }) => sum + containers, 0);
  const well = apps.reduce((sum, { containersWell }) => sum + containersWell, 0);
  if (apps.length > 0 && apps.every(isStopped)) return "stopped";
  const text = `${well}/${wanted}`;
  return well === wanted ? text : { text, color: "red" };
}

/** An app that is as it should be without a container does not run by intent. */
function isStopped({ state, containers }: TargetSummary): boolean {
  return state === TargetState.APPLIED && containers === 0;
}

/** The sentences of the newest report, or, of a device that is listed without it, the codes of its summary. */
export function problemsOfDevice({ report, summary, duplicateId }: Device): readonly string[] {
  if (report !== undefined) return problemsOf(report, duplicateId);
  return summary === undefined ? [] : problemsOfSummary(summary);
}

function problemsOfSummary({ problems, targets }: DeviceSummary): string[] {
  const failed = targets.filter(({ state }) => state === TargetState.FAILED);
  return [...problems, ...failed.map(({ name, failureCode }) => `${name}: ${enumWord(FailureCodeSchema, failureCode) || "failed"}`)];
}

/** Where a device stands with a config, and why: `failed (no_space)`, `offline`. */
export function standingText(standing: number, failureCode: number): string {
  const [state, code] = [enumWord(DeviceStandingSchema, standing), enumWord(FailureCodeSchema, failureCode)];
  return code === "" ? state : `${state} (${code})`;
}
