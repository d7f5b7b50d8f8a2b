import { timestampMs } from "@bufbuild/protobuf/wkt";
import {
  type DeviceBehind,
  type DeviceReach,
  DeviceStepKind,
  type PlannedEntity,
  PlannedKind,
  type PlanResponse,
  PlanWarningCode,
  type StepCount,
} from "../../../gen/nebula/v1/plan_pb.ts";
import { printableLine } from "../../printable.ts";
import { fieldLines } from "../../resources/field-changes.ts";
import { formatAge } from "../../text/age.ts";
import { counted } from "../../text/wording.ts";

/** The words of the kinds of planned entities. */
export const KIND_WORDS: Readonly<Record<number, string>> = {
  [PlannedKind.APP]: "app",
  [PlannedKind.CRON_JOB]: "cron_job",
  [PlannedKind.DEVICE_GROUP]: "device_group",
  [PlannedKind.USER_GROUP]: "user_group",
};

const STEP_WORDS: Readonly<Record<number, string>> = {
  [DeviceStepKind.RECREATE]: "re-create",
  [DeviceStepKind.START]: "start",
  [DeviceStepKind.STOP]: "stop",
  [DeviceStepKind.REMOVE]: "remove",
  [DeviceStepKind.SCALE_UP]: "add",
  [DeviceStepKind.SCALE_DOWN]: "take away",
  [DeviceStepKind.START_AGAIN]: "start again",
  [DeviceStepKind.WAIT_FOR_PORT]: "make, and not start for want of a host port,",
};

/** The column in which a revision stands, counted from the changes, characters: longer changes push it out. */
const CHANGE_WIDTH = 30;
/** Characters of a change that are shown. */
const LONGEST_CHANGE = 200;

/** A plan for people, without its last line. @param now wall clock, milliseconds since 1970 */
export function planText(plan: PlanResponse, now: number): string {
  return [...entityLines(plan.entities), ...reachLines(plan), ...stepLines(plan), ...behindLines(plan, now)]
    .map((line) => `${line.trimEnd()}\n`)
    .join("");
}

function entityLines(entities: readonly PlannedEntity[]): string[] {
  const titles = entities.map(({ kind, name }) => `${KIND_WORDS[kind] ?? "entity"} ${name}`);
  const width = Math.max(0, ...titles.map(({ length }) => length));
  const fieldWidth = Math.max(
    0,
    ...entities.flatMap(({ existsBefore, differences }) => (existsBefore ? differences.map(({ field }) => field.length) : [])),
  );
  return entities.flatMap((entity, index) => {
    const title = (titles[index] ?? "").padEnd(width);
    const rows = changeRows(entity, fieldWidth);
    const isSame = entity.revisionBefore === entity.revisionAfter;
    const revision = isSame ? "" : `revision ${entity.revisionBefore === 0n ? "" : `${entity.revisionBefore} -> `}${entity.revisionAfter}`;
    const [first = isSame ? "unchanged" : "again", ...rest] = rows;
    const firstWidth = fieldWidth + 2 + CHANGE_WIDTH;
    return [`${title}  ${first.padEnd(isSame ? 0 : firstWidth)}  ${revision}`, ...rest.map((row) => `${" ".repeat(width)}  ${row}`)];
  });
}

function changeRows({ existsBefore, existsAfter, differences }: PlannedEntity, fieldWidth: number): string[] {
  if (!existsAfter) return ["deleted"];
  if (!existsBefore) return ["created"];
  return differences.flatMap((difference) =>
    fieldLines(difference).map(([field, change]) => {
      const text = printableLine(change);
      return `${field.padEnd(fieldWidth)}  ${text.length > LONGEST_CHANGE ? `${text.slice(0, LONGEST_CHANGE)}…` : text}`;
    }),
  );
}

function reachLines({ reach, groupCount, hiddenGroups, changesAnything }: PlanResponse): string[] {
  if (!changesAnything) return ["nothing to do"];
  const hidden = hiddenGroups === 0 ? "" : `, and ${counted(hiddenGroups, "device_group")} you may not see`;
  if (groupCount === 0) return [hiddenGroups === 0 ? "reaches no device_group" : `reaches ${counted(hiddenGroups, "device_group")} you may not see`];
  return [`reaches ${counted(reach?.devices ?? 0, "device")} in ${counted(groupCount, "device_group")}${connections(reach)}${hidden}`];
}

function connections(reach: DeviceReach | undefined): string {
  const { connected = 0, offline = 0, neverCame = 0 } = reach ?? {};
  const known = connected + offline === 0 ? [] : [`${connected} connected`, `${offline} offline`];
  const never = neverCame === 0 ? [] : [`${known.length === 0 ? "" : "and "}${neverCame} enrolled that never came`];
  return known.length + never.length === 0 ? "" : ` (${[...known, ...never].join(", ")})`;
}

function stepLines({ steps, reach, warnings, changesAnything }: PlanResponse): string[] {
  const { unforeseen = 0, idle = 0, devices = 0 } = reach ?? {};
  const disk = warnings.find(({ code }) => code === PlanWarningCode.DISK_FULL);
  const counts = steps.map(stepText).join(", ");
  const full = disk === undefined ? "" : `; ${disk.devices} ${disk.devices === 1 ? "has" : "have"} less free disk than the image takes now`;
  const other = warnings.filter((warning) => warning !== disk).map(({ message }) => `warning: ${printableLine(message)}`);
  return [
    ...(counts === "" ? [] : [`${counts}${full}`]),
    ...(changesAnything && idle > 0
      ? [
          `${idle === devices ? "no device" : counted(idle, "device")} ${idle === devices ? "has anything" : idle === 1 ? "has nothing" : "have nothing"} to do`,
        ]
      : []),
    ...(unforeseen === 0
      ? []
      : [`${counted(unforeseen, "device")} whose steps can't be foreseen: no report yet, a worker of the original, or one that stands still`]),
    ...other,
  ];
}

function stepText({ step, containers, image, devices }: StepCount): string {
  if (step === DeviceStepKind.PULL) return `${devices} pull ${shortImage(image)}`;
  if (step === DeviceStepKind.PULL_IF_MISSING) return `${devices} pull ${shortImage(image)} unless they have it`;
  if (step === DeviceStepKind.SCHEDULE) return `${devices} follow a new schedule`;
  return `${devices} ${STEP_WORDS[step] ?? "do a step with"} ${counted(containers, "container")}`;
}

/** As an operator writes it: without Docker Hub's own parts. */
function shortImage(image: string): string {
  return printableLine(image.replace(/^docker\.io\/(library\/)?/, ""));
}

function behindLines({ behind, behindCount }: PlanResponse, now: number): string[] {
  if (behindCount === 0) return [];
  const revisions = new Set(behind.map(({ name, revision }) => `${name} ${revision}`));
  const [first] = behind;
  const which = revisions.size === 1 && first !== undefined ? `revision ${first.revision}` : "the newest revision";
  const named = behind.map((device) => `${printableLine(device.deviceId)} (${standing(device, now)})`).join(", ");
  const more = behindCount > behind.length ? ` and ${behindCount - behind.length} more` : "";
  return [`${counted(behindCount, "device")} ${behindCount === 1 ? "does" : "do"} not run ${which} yet: ${named}${more}`];
}

function standing({ state, reason, offlineSince }: DeviceBehind, now: number): string {
  if (state === "failed" && reason !== "") return printableLine(`failed: ${reason.length > 60 ? `${reason.slice(0, 60)}…` : reason}`);
  return state === "offline" && offlineSince !== undefined ? `offline ${formatAge(now - timestampMs(offlineSince))}` : printableLine(state);
}
