/** The content of the page of a device beside its chain. Pure. */
import { deviceFields, deviceTables } from "../../../../../common/insight/text/device-report.ts";
import { printableLine } from "../../../../../common/printable.ts";
import { type Cell, cellColor, cellText } from "../../../../../common/text/cell.ts";
import { enumWord } from "../../../../../common/text/enum-words.ts";
import type { Device } from "../../../../../gen/nebula/v1/device_pb.ts";
import { type AppStatus, type CronJobStatus, type HostStatus, TargetState, TargetStateSchema } from "../../../../../gen/nebula/v1/report_pb.ts";
import { entityAddress } from "../../addresses/entity-addresses.ts";
import { type Connection, connectionOf } from "../devices/device-row.ts";

export type DeviceHead = Connection & Readonly<{ group: string; state: string }>;

export function deviceHead(device: Device): DeviceHead {
  const { deviceGroup, summary, report } = device;
  return {
    group: deviceGroup,
    ...connectionOf(device),
    state: enumWord(TargetStateSchema, summary?.state ?? report?.state ?? TargetState.UNSPECIFIED) || "unknown",
  };
}

export type Text = Readonly<{ text: string; isWrong: boolean }>;

/** Fields that other parts of the page show. */
const SHOWN_ELSEWHERE: ReadonlySet<string> = new Set(["device", "device_group", "connected", "state", "problems", "cpu", "memory", "disk"]);

/** The fields of `nebulactl devices info`, but those that other parts of the page show. @param now milliseconds since 1970 */
export function factsOf(device: Device, now: number): readonly Readonly<{ name: string; value: Text }>[] {
  return deviceFields(device, now).flatMap(([name, value]) => (SHOWN_ELSEWHERE.has(name) ? [] : [{ name, value: textOf(value) }]));
}

/** A used share of the host: 0 to 1, and in words. */
export type Usage = Readonly<{ name: string; used: number; text: string }>;

export function usagesOf(device: Device, now: number): readonly Usage[] {
  const { host } = device.report ?? {};
  if (host === undefined) return [];
  const words = new Map(deviceFields(device, now).map(([name, value]) => [name, printableLine(cellText(value))]));
  return Object.entries(sharesOf(host)).map(([name, used]) => ({ name, used: Math.min(1, Math.max(0, used)), text: words.get(name) ?? "" }));
}

function sharesOf(host: HostStatus): Readonly<Record<string, number>> {
  const share = (total: bigint, free: bigint) => (total === 0n ? 0 : Number(total - free) / Number(total));
  return {
    cpu: host.cpuUsedPercent / 100,
    memory: share(host.memoryTotalBytes, host.memoryAvailableBytes),
    disk: share(host.diskTotalBytes, host.diskFreeBytes),
  };
}

/** An app or cron_job of the newest report with its containers, in the words of `nebulactl devices info`. */
export type RunningTarget = Readonly<{
  key: string;
  title: string;
  /** Its page, undefined if it has none. */
  to: string | undefined;
  state: string;
  /** `revision 42`, `revision 42, applied 41`. */
  revision: string;
  reason: string;
  containers: readonly (readonly Text[])[];
}>;

/** `head`: of the columns in which some container has a value. */
export type RunningTargets = Readonly<{ head: readonly string[]; targets: readonly RunningTarget[] }>;

/** @param now milliseconds since 1970 */
export function runningTargets({ report }: Device, now: number): RunningTargets {
  if (report === undefined) return { head: [], targets: [] };
  const [, , all] = deviceTables(report, now);
  const columns = [...(all?.header.keys() ?? [])].filter((column) => all?.rows.some((row) => cellText(row[column] ?? "") !== ""));
  const target = (kind: string, status: AppStatus | CronJobStatus, table: ReturnType<typeof deviceTables>[number] | undefined): RunningTarget => ({
    key: `${kind}/${status.name}`,
    title: `${kind === "app" ? "" : "cron_job "}${printableLine(status.name)}`,
    to: entityAddress(kind, status.name),
    state: enumWord(TargetStateSchema, status.state) || "unknown",
    revision: `revision ${status.revision}${status.appliedRevision === status.revision ? "" : `, applied ${status.appliedRevision}`}`,
    reason: printableLine(status.reason),
    containers: (table?.rows ?? []).map((row) => columns.map((column) => textOf(row[column] ?? ""))),
  });
  return {
    head: columns.map((column) => headOf(all?.header[column] ?? "")),
    targets: [
      ...report.apps.map((app) => target("app", app, deviceTables({ ...report, apps: [app], cronJobs: [] }, now)[2])),
      ...report.cronJobs.map((cronJob) => target("cron_job", cronJob, deviceTables({ ...report, apps: [], cronJobs: [cronJob] }, now)[2])),
    ],
  };
}

/** `CONTAINER` as `Container`. */
function headOf(word: string): string {
  return word === "CPU" ? word : word.charAt(0) + word.slice(1).toLowerCase();
}

function textOf(cell: Cell): Text {
  return { text: printableLine(cellText(cell)), isWrong: cellColor(cell) === "red" };
}
