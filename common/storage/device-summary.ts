import { create } from "@bufbuild/protobuf";
import {
  type Device,
  type DeviceSummary,
  DeviceSummarySchema,
  TargetKind,
  type TargetSummary,
  TargetSummarySchema,
} from "../../gen/nebula/v1/device_pb.ts";
import {
  type AppStatus,
  ContainerHealth,
  ContainerState,
  type ContainerStatus,
  type CronJobStatus,
  FailureCode,
  type Report,
  StepKind,
  TargetState,
} from "../../gen/nebula/v1/report_pb.ts";
import { readMessage, readMessages, writeMessage } from "../protobuf/binary-message.ts";
import { SideNotes } from "../side-notes.ts";
import { receivedMs } from "./report-id.ts";
import type { StatusRow } from "./report-store.ts";
import { withSharedValues } from "./shared-values.ts";

/** The boot of all reports of a worker of the original. */
export const ORIGINAL_BOOT = "v2";
/** The code of a device under whose id two workers report. */
export const DUPLICATE_ID = "duplicate_id";

/** The digits of an image's id in a summary: 8 bytes. */
const IMAGE_PREFIX = /^(?:sha256:)?([0-9a-f]{16})/;
const MOST_IMAGE_IDS = 4;
/** The suffix of the name of a container while it takes another one's place: `web-1.next`, `web-1.old`, `web-1.moved-0f31c2aa`. */
const BESIDE_NAME = /(-\d+)\.(?:next|old|moved-[0-9a-f]+)$/;

/** Returns what lists, filters and counts need of a device's row; undefined for the marker of a deleted device. */
export function summaryOf({ device, writtenAt, deleted = false }: StatusRow): DeviceSummary | undefined {
  const { deviceId, deviceGroup, report, duplicateId } = device;
  if (deleted) return undefined;
  if (report === undefined) return create(DeviceSummarySchema, { deviceId, deviceGroup, writtenAt });
  const original = report.boot === ORIGINAL_BOOT;
  const anchor = hasDurations(report, original) ? receivedMs(report.receivedAt) : undefined;
  return withSharedValues({
    $typeName: DeviceSummarySchema.typeName,
    deviceId,
    deviceGroup,
    boot: report.boot,
    seq: report.seq,
    writtenAt,
    receivedAtMs: BigInt(receivedMs(report.receivedAt)),
    etag: report.etag,
    state: report.state,
    groupRevision: report.groupRevision,
    pruneId: report.pruneId,
    workerVersion: original ? "" : report.workerVersion,
    problems: problemsOf(report, duplicateId),
    targets: targetsOf(report, anchor),
    original,
    repairs: report.repairs,
  });
}

/** Reads a summary from protobuf's wire format. Neither it nor its lists may be changed. Throws where the bytes are not a summary. */
export function readSummary(bytes: Uint8Array): DeviceSummary {
  return withSharedValues(readMessage(DeviceSummarySchema, bytes));
}

/** Reads summaries that are one after the other, of these lengths. Otherwise as `readSummary`. */
export function readSummaries(bytes: Uint8Array, lengths: readonly number[]): DeviceSummary[] {
  return readMessages(DeviceSummarySchema, bytes, lengths).map(withSharedValues);
}

/** The codes of the problems of a device, each once. */
function problemsOf({ problems }: Report, duplicateId: boolean): string[] {
  if (problems.length === 0) return duplicateId ? [DUPLICATE_ID] : [];
  return [...new Set([...problems.map(({ code }) => code), ...(duplicateId ? [DUPLICATE_ID] : [])])];
}

/** The apps by name, then the cron_jobs by name. */
function targetsOf({ apps, cronJobs }: Report, anchorMs: number | undefined): TargetSummary[] {
  const ofApps = apps.map((app) => targetOf(TargetKind.APP, app, anchorMs, countApp(app)));
  if (ofApps.length > 1) ofApps.sort(byName);
  if (cronJobs.length === 0) return ofApps;
  const ofJobs = cronJobs.map((job) => targetOf(TargetKind.CRON_JOB, job, anchorMs, countRuns(job))).sort(byName);
  return [...ofApps, ...ofJobs];
}

type Saved = Readonly<{ writtenAt: bigint; summary: DeviceSummary; bytes: Uint8Array }>;

/** The summaries of devices that are in use, with the versions of their rows. */
const saved = new SideNotes<Device, Saved>("summary");

/** Returns `summaryOf` in protobuf's wire format, as a store has it. The device is changed no more. */
export function encodedSummary(row: StatusRow): Uint8Array | undefined {
  return savedOf(row)?.bytes;
}

/** Returns `summaryOf`, made once: of a row that was saved, it is the summary that the store has. Neither it nor the device is changed any more. */
export function savedSummary(row: StatusRow): DeviceSummary | undefined {
  return savedOf(row)?.summary;
}

function savedOf(row: StatusRow): Saved | undefined {
  const { device, writtenAt, deleted = false } = row;
  const known = saved.get(device);
  if (!deleted && known?.writtenAt === writtenAt) return known;
  const summary = summaryOf(row);
  if (summary === undefined) return undefined;
  const made = { writtenAt, summary, bytes: writeMessage(DeviceSummarySchema, summary) };
  saved.set(device, made);
  return made;
}

/** Whether the worker reports durations: one that does not leaves all of these fields empty. */
function hasDurations({ apps, cronJobs }: Report, original: boolean): boolean {
  const newer = ({ stateForMs, failureCode, stepKind, containers }: AppStatus | CronJobStatus) =>
    stateForMs > 0n ||
    failureCode !== FailureCode.UNSPECIFIED ||
    stepKind !== StepKind.UNSPECIFIED ||
    containers.some(({ imageId }) => imageId !== "");
  return !original && (apps.some(newer) || cronJobs.some(newer));
}

type Counted = Pick<TargetSummary, "containers" | "containersWell">;

function targetOf(kind: TargetKind, target: AppStatus | CronJobStatus, anchorMs: number | undefined, counted: Counted): TargetSummary {
  const { name, revision, appliedRevision, state, failureCode, stepKind, stateForMs, containers } = target;
  return {
    $typeName: TargetSummarySchema.typeName,
    kind,
    name,
    revision,
    appliedRevision,
    state,
    failureCode,
    stepKind,
    // a device may send any duration; one that began before 1970 is not a duration
    sinceMs: anchorMs === undefined || stateForMs > BigInt(anchorMs) ? 0n : BigInt(anchorMs) - stateForMs,
    containers: counted.containers,
    containersWell: counted.containersWell,
    imageIds: imageIdsOf(containers),
  };
}

/**
 * Counts the containers that an app is to have, one for each index, and those of them that are up to date and well. An old container beside its new one is not
 * counted, nor are those of an older revision while the app's are removed. Of a crash loop at least one is not well.
 */
function countApp({ revision, appliedRevision, failureCode, stepKind, state, containers }: AppStatus): Counted {
  const isUpToDate = (container: ContainerStatus) => container.revision >= revision || appliedRevision >= revision;
  const isRemoved = state === TargetState.WORKING && stepKind === StepKind.REMOVE;
  const crashes = failureCode === FailureCode.EXITS;
  const wellBySlot = new Map<string, boolean>();
  for (const container of containers) {
    if (isRemoved && !isUpToDate(container)) continue;
    const slot = container.name.includes(".") ? container.name.replace(BESIDE_NAME, "$1") : container.name;
    const well = isUpToDate(container) && isWell(container) && !(crashes && container.restarts > 0);
    wellBySlot.set(slot, well || (wellBySlot.get(slot) ?? false));
  }
  let well = 0;
  for (const slot of wellBySlot.values()) if (slot) well++;
  return { containers: wellBySlot.size, containersWell: crashes && well > 0 && well === wellBySlot.size ? well - 1 : well };
}

/** Counts the runs of a cron_job that go on. */
function countRuns({ containers }: CronJobStatus): Counted {
  const running = containers.filter(({ state }) => state === ContainerState.RUNNING);
  return { containers: running.length, containersWell: running.filter(isWell).length };
}

function isWell({ state, health }: ContainerStatus): boolean {
  return state === ContainerState.RUNNING && health !== ContainerHealth.UNHEALTHY;
}

/** The first bytes of each image id, `sha256:` before its digits or not. */
function imageIdsOf(containers: readonly ContainerStatus[]): Uint8Array[] {
  const prefixes: string[] = [];
  for (const { imageId } of containers) {
    const digits = imagePrefix(imageId);
    if (digits !== undefined && !prefixes.includes(digits)) prefixes.push(digits);
    if (prefixes.length === MOST_IMAGE_IDS) break;
  }
  return prefixes.map((digits) => Buffer.from(digits, "hex")); // half the time of fromHex; `withSharedValues` replaces them
}

/** The digits of an image id that a summary keeps; undefined: it has too few. */
function imagePrefix(imageId: string): string | undefined {
  return IMAGE_PREFIX.exec(imageId)?.[1];
}

function byName(a: TargetSummary, b: TargetSummary): number {
  return a.name < b.name ? -1 : a.name > b.name ? 1 : 0;
}
