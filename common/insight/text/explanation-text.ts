import { type Timestamp, timestampMs } from "@bufbuild/protobuf/wkt";
import { ConnectionState, TargetKind } from "../../../gen/nebula/v1/device_pb.ts";
import {
  type Advice,
  type ChangedField,
  type DesiredRevision,
  type Explanation,
  StuckAt,
  StuckAtSchema,
  type TargetExplanation,
} from "../../../gen/nebula/v1/explain_pb.ts";
import {
  ContainerHealth,
  ContainerHealthSchema,
  ContainerState,
  ContainerStateSchema,
  type ContainerStatus,
  FailureCode,
  FailureCodeSchema,
  TargetState,
} from "../../../gen/nebula/v1/report_pb.ts";
import { printableLine } from "../../printable.ts";
import { formatAge } from "../../text/age.ts";
import { type Cell, type Field, red } from "../../text/cell.ts";
import { adviceLine } from "../advice.ts";
import type { ProblemCode } from "../problems.ts";

const NO_SUCH_GROUP: ProblemCode = "no_such_group";
/** Changed fields and containers that one line names; the others are counted. */
const MOST_NAMED = 3;
/** Characters of an etag, which is long. */
const ETAG_LENGTH = 6;

/** An explanation as blocks of lines, and what else is said: `and 3 more; name one to see it`. */
export type ExplanationText = Readonly<{ blocks: readonly (readonly Field[])[]; rest: readonly string[] }>;

/** The way of one target in the order in which a change takes it; of several, first that of the device and then of each target. */
export function explanationText(explanation: Explanation): ExplanationText {
  const { targets, moreTargets, hiddenTargets } = explanation;
  const [only, ...others] = targets;
  if (only !== undefined && others.length === 0 && moreTargets === 0 && hiddenTargets === 0) {
    return {
      blocks: [[desiredField(only, explanation), ...deviceFields(explanation, only.stuckAt), ...targetFields(only, explanation, true)]],
      rest: [],
    };
  }
  const device: Field[] = [
    ["device", deviceLine(explanation)],
    ...deviceFields(explanation, explanation.stuckAt),
    ...adviceFields(explanation.advice),
  ];
  const blocks = targets.map((target) => [desiredField(target, explanation), ...targetFields(target, explanation, false)]);
  return { blocks: [device, ...blocks], rest: restLines(explanation) };
}

function restLines({ targets, moreTargets, hiddenTargets, stuckAt }: Explanation): string[] {
  return [
    ...(moreTargets === 0 ? [] : [`and ${moreTargets} more; name one to see it`]),
    ...(hiddenTargets === 0 ? [] : [`and ${hiddenTargets} that you may not see`]),
    ...(targets.length + hiddenTargets === 0 && stuckAt !== StuckAt.NO_GROUP ? ["no apps and cron_jobs: the device_group names none"] : []),
  ];
}

function deviceLine({ deviceId, deviceGroup, group, original }: Explanation): string {
  return `${deviceId} of device_group ${deviceGroup}${group === undefined || group.deleted ? "" : ` @${group.revision}`}${original ? ", a worker of the original" : ""}`;
}

// --- the device

/** @param place whose advice follows */
function deviceFields(explanation: Explanation, place: StuckAt): Field[] {
  const { problems, configFault } = explanation;
  return [
    ["connected", connectedCell(explanation)],
    ["config", configCell(explanation)],
    ...(configFault === "" ? [] : [["fault", red(printableLine(configFault))] as const]),
    ...problems.flatMap(({ problem, blocking, advice }): Field[] => {
      const text = printableLine(`${problem?.code ?? ""}: ${problem?.message ?? ""}`);
      const isTold = (blocking && place === StuckAt.DEVICE) || (problem?.code === NO_SUCH_GROUP && place === StuckAt.NO_GROUP);
      return [["problem", blocking ? red(text) : { text, color: "yellow" }], ...(isTold ? [] : adviceFields(advice))];
    }),
  ];
}

function connectedCell({ connection, explainedAt, lastReportAt, original, stuckAt }: Explanation): Cell {
  const since = connection?.since === undefined ? undefined : formatAge(between(connection.since, explainedAt));
  const report = lastReportAt === undefined ? "it never reported" : `newest report ${formatAge(between(lastReportAt, explainedAt))} ago`;
  const shard = connection?.shard ? `, shard ${connection.shard}` : "";
  switch (connection?.state) {
    case ConnectionState.ONLINE:
      return original
        ? `polls, ${report}`
        : `${since === undefined ? "yes" : `for ${since}`}${shard}${lastReportAt === undefined ? `; ${report}` : ""}`;
    case ConnectionState.OFFLINE:
      return red(`offline${since === undefined ? "" : ` for ${since}`}${shard === "" ? "" : `, last on${shard.slice(1)}`}; ${report}`);
    default:
      return stuckAt === StuckAt.NEVER_CONNECTED ? red("never: it has a token, and neither connected nor reported yet") : `not known; ${report}`;
  }
}

function configCell({
  group,
  deviceGroup,
  newestEtag,
  deviceEtag,
  delivered,
  deliveredAt,
  explainedAt,
  configFault,
  stuckAt,
  original,
}: Explanation): Cell {
  if (stuckAt === StuckAt.NO_GROUP) {
    const gone = group?.deleted ? `was deleted ${changeText(group, explainedAt)}` : "does not exist";
    return red(`device_group ${deviceGroup} ${gone}; the device keeps what it runs`);
  }
  if (configFault !== "") return red("cannot be made; the device keeps the config that it has");
  const etag = newestEtag.slice(0, ETAG_LENGTH);
  if (delivered)
    return `delivered${deliveredAt === undefined ? "" : ` ${formatAge(between(deliveredAt, explainedAt))} ago`}${original ? "" : `, etag ${etag}`}`;
  const has = deviceEtag === "" ? "" : `; the device has ${deviceEtag.slice(0, ETAG_LENGTH)}`;
  return { text: `not delivered yet${original ? "" : `, etag ${etag}`}${printableLine(has)}`, color: "yellow" };
}

// --- one target

function desiredField({ kind, name, desired, inGroup }: TargetExplanation, { group, deviceGroup, explainedAt }: Explanation): Field {
  const title = kind === TargetKind.CRON_JOB ? `cron_job ${name}` : name;
  const where = group === undefined || group.deleted ? "" : `, ${inGroup ? "from" : "not in"} device_group ${deviceGroup} @${group.revision}`;
  if (desired === undefined) return ["desired", `${title}: none of that name exists${where}`];
  const what = desired.deleted ? " (deleted)" : desired.running ? "" : " (stopped)";
  return ["desired", `${title} @${desired.revision}${what}${where}, changed ${changeText(desired, explainedAt)}${changesText(desired)}`];
}

/** `12 min ago by ci`. */
function changeText({ lastChange }: DesiredRevision, now: Timestamp | undefined): string {
  if (lastChange?.at === undefined) return "at an unknown time";
  return `${formatAge(between(lastChange.at, now))} ago by ${printableLine(lastChange.by)}`;
}

function changesText({ action, changes, moreChanges, fromRevision, deleted }: DesiredRevision): string {
  const shown = changes.slice(0, MOST_NAMED).map(fieldText);
  const more = changes.length - shown.length + moreChanges;
  const listed = [...shown, ...(more === 0 ? [] : [`and ${more} more`])].join(", ");
  if (listed !== "") return ` (${listed})`;
  return deleted || fromRevision === 0n ? ` (${action})` : ` (${action}, from @${fromRevision})`;
}

/** An image says for itself which field it is. */
function fieldText({ field, lines }: ChangedField): string {
  const text = printableLine(lines.join(", "));
  return field === "docker_image" ? text : `${field} ${text}`;
}

function targetFields(target: TargetExplanation, explanation: Explanation, isOne: boolean): Field[] {
  const { containers, notes, stuckAt } = target;
  const isOfDevice = !isOne && stuckAt === explanation.stuckAt; // told once, of the device
  return [
    ["applied", appliedCell(target, explanation)],
    ...(containers.length === 0 ? [] : [["containers", containersText(containers)] as const]),
    ...stepField(target),
    ...notes.slice(0, MOST_NAMED).map((note): Field => ["note", printableLine(note)]),
    ...(isOfDevice ? [] : adviceFields(target.advice)),
  ];
}

function appliedCell(
  { name, desired, appliedRevision, knownRevision, stuckAt, stuckForMs, failureCode }: TargetExplanation,
  { connection }: Explanation,
): Cell {
  const known = knownRevision > appliedRevision ? `, on the way to @${knownRevision}` : "";
  const at = appliedRevision === 0n ? `${name}: no revision yet${known}` : `${name} @${appliedRevision}${known}`;
  if (stuckAt === StuckAt.NOWHERE) return { text: desired?.running === false ? `${at}, stopped` : at, color: "green" };
  const isOfCode = stuckAt === StuckAt.STEP || stuckAt === StuckAt.CONTAINERS || stuckAt === StuckAt.WORKING;
  const until = isOfCode && connection?.state === ConnectionState.OFFLINE ? " until it went offline" : "";
  const time = stuckForMs === undefined ? "" : ` for ${formatAge(Number(stuckForMs))}${until}`;
  const code = isOfCode && failureCode !== FailureCode.UNSPECIFIED ? codeWord(failureCode) : placeWords(stuckAt);
  return red(`${at}   <- stuck here${time} (${code})`);
}

function stepField({ step, reason, tries, retryInMs, pull, state, stuckAt }: TargetExplanation): Field[] {
  if (reason === "" && (state !== TargetState.WORKING || stuckAt === StuckAt.NOWHERE)) return [];
  const what = [step, reason].filter((part) => part !== "").join(": ");
  const parts = [
    what === "" ? "works on it" : what,
    ...(pull === undefined ? [] : [`${megabytes(pull.doneBytes)} of ${megabytes(pull.totalBytes)} MB`]),
    ...(tries === 0 ? [] : [tries === 1 ? "tried once" : `tried ${tries} times`]),
    ...(retryInMs === undefined ? [] : [retryInMs === 0n ? "next try is due" : `next try in ${formatAge(Number(retryInMs))}`]),
  ];
  return [["step", printableLine(parts.join("; "))]];
}

function containersText(containers: readonly ContainerStatus[]): string {
  const shown = containers.slice(0, MOST_NAMED).map(containerText);
  const more = containers.length - shown.length;
  return printableLine([...shown, ...(more === 0 ? [] : [`and ${more} more`])].join(", "));
}

function containerText({ name, state, health, restarts, exitCode, revision }: ContainerStatus): string {
  const known = ContainerStateSchema.value[state]?.localName.toLowerCase() ?? "unknown";
  const word = state === ContainerState.EXITED ? `exited (${exitCode})` : known;
  const check = health === ContainerHealth.UNSPECIFIED ? "" : `, ${ContainerHealthSchema.value[health]?.localName.toLowerCase() ?? ""}`;
  return `${name} @${revision} ${word}${check}${restarts === 0 ? "" : `, ${restarts} restarts`}`;
}

function adviceFields(advice: readonly Advice[]): Field[] {
  return advice.map((one, index) => [index === 0 ? "do" : "", adviceLine(one)]);
}

// --- words

function codeWord(code: FailureCode): string {
  return FailureCodeSchema.value[code]?.localName.toLowerCase() ?? `code ${code}`;
}

function placeWords(place: StuckAt): string {
  return (StuckAtSchema.value[place]?.localName ?? `place ${place}`).toLowerCase().replaceAll("_", " ");
}

function between(from: Timestamp, to: Timestamp | undefined): number {
  return to === undefined ? 0 : timestampMs(to) - timestampMs(from);
}

function megabytes(bytes: bigint): string {
  return (Number(bytes) / 1e6).toFixed(0);
}
