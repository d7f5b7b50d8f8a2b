import { timestampMs } from "@bufbuild/protobuf/wkt";
import { enumWords } from "../../../common/text/enum-words.ts";
import { ConnectionState, type Device, type DeviceSummary, TargetKind, type TargetSummary } from "../../../gen/nebula/v1/device_pb.ts";
import { type FailureCode, FailureCodeSchema, TargetState } from "../../../gen/nebula/v1/report_pb.ts";
import { formatAge } from "../output/age.ts";
import type { ListView } from "../output/print-list.ts";
import type { Cell } from "../output/table.ts";
import { deviceJson } from "./device-view.ts";
import { containersCell, problemsCell, problemsOf } from "./report-view.ts";
import { stateCell } from "./target-state.ts";

/** A list of devices with their connection and newest status, a line each. @param now wall clock, milliseconds since 1970 */
export function deviceList(now: number): ListView<Device> {
  return {
    plural: "devices",
    header: ["DEVICE", "GROUP", "CONNECTED", "STATE", "CONTAINERS", "WORKER", "PROBLEM"],
    row(device) {
      const { deviceId, deviceGroup, report, summary } = device;
      return [
        deviceId,
        deviceGroup,
        connectedCell(device, now),
        lastStateCell(device),
        wellCell(device),
        summary?.workerVersion || (report?.workerVersion ?? ""),
        problemsCell(problemsOfDevice(device)),
      ];
    },
    json: deviceJson,
  };
}

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
  return [...problems, ...failed.map(({ name, failureCode }) => `${name}: ${codeWord(failureCode) ?? "failed"}`)];
}

/** The code as filters and answers of programs name it: `no_space`; undefined for the unspecified one, or one of a newer server. */
export function codeWord(code: FailureCode): string | undefined {
  return [...enumWords(FailureCodeSchema)].find(([, number]) => number === code)?.[0];
}
