/** A device_group as it is edited, before its plan. Pure. */
import { printableLine } from "../../../../../common/printable.ts";
import { MOST_MEMBERS, validateName } from "../../../../../common/validation/names.ts";
import type { DeviceGroup } from "../../../../../gen/nebula/v1/device_group_pb.ts";
import type { PlanResponse } from "../../../../../gen/nebula/v1/plan_pb.ts";
import { plannedEntity } from "../../data/planned-entity.ts";
import { commandLine } from "../../parts/format.ts";

export type MemberKind = "app" | "cron_job";

/** Members of one kind. */
export type MemberList = Readonly<{
  /** In their order, each once. */
  names: readonly string[];
  /** A name that is being typed. */
  typed: string;
  /** Why that name was not added; empty: it may be. */
  problem: string;
}>;

export type GroupDraft = Readonly<{ name: string; apps: MemberList; cronJobs: MemberList }>;

/** Names that exist, as far as the caller may see them. `isComplete`: whether there are no others. */
export type KnownNames = Readonly<{ names: readonly string[]; isComplete: boolean }>;

const NONE_KNOWN: KnownNames = { names: [], isComplete: false };

/** Where an edit begins. @param base the device_group as it is, undefined if it is to be created */
export function draftOf(base: DeviceGroup | undefined): GroupDraft {
  const listOf = (names: readonly string[]): MemberList => ({ names, typed: "", problem: "" });
  return { name: base?.name ?? "", apps: listOf(base?.apps ?? []), cronJobs: listOf(base?.cronJobs ?? []) };
}

/** Adds the name that was typed to the end, or says why not. Nothing typed is nothing to add. */
export function withTyped(list: MemberList, kind: MemberKind, known: KnownNames = NONE_KNOWN): MemberList {
  const name = list.typed.trim();
  if (name === "") return { ...list, typed: "", problem: "" };
  const problem = problemOf(name, list, kind, known);
  return problem === "" ? { names: [...list.names, name], typed: "", problem: "" } : { ...list, problem };
}

function problemOf(name: string, { names }: MemberList, kind: MemberKind, known: KnownNames): string {
  const [violation] = validateName(name);
  if (violation !== undefined) return printableLine(violation.description);
  if (names.includes(name)) return `${kind} ${name} is in the list already`;
  if (names.length >= MOST_MEMBERS) return `a device_group has at most ${MOST_MEMBERS} ${kind}s`;
  return known.isComplete && !known.names.includes(name) ? `there is no ${kind} ${name} that you may see` : "";
}

/** The same members with one of them moved by this many places, to the first or the last one at most. */
export function withMoved(list: MemberList, name: string, by: number): MemberList {
  const from = list.names.indexOf(name);
  const to = Math.min(list.names.length - 1, Math.max(0, from + by));
  return from < 0 ? list : { ...list, names: list.names.toSpliced(from, 1).toSpliced(to, 0, name) };
}

export function without(list: MemberList, name: string): MemberList {
  return { ...list, names: list.names.filter((other) => other !== name) };
}

/** The problem that keeps a draft from its plan: why its name is not valid. Empty if there is none. */
export function nameProblem(name: string): string {
  return validateName(name).map(({ description }) => printableLine(description))[0] ?? "";
}

/** The device_group that is planned, whole: what the form does not have stays. */
export function plannedGroup({ name, apps, cronJobs }: GroupDraft, base: DeviceGroup | undefined) {
  return { name, apps: [...apps.names], cronJobs: [...cronJobs.names], spread: base?.spread ?? 0 };
}

/** The fields that differ, by their names in the API. */
export function changedMembers({ apps, cronJobs }: GroupDraft, base: DeviceGroup | undefined): ("apps" | "cron_jobs")[] {
  const differ = (one: readonly string[], other: readonly string[]) => one.join() !== other.join();
  return [
    ...(differ(apps.names, base?.apps ?? []) ? (["apps"] as const) : []),
    ...(differ(cronJobs.names, base?.cronJobs ?? []) ? (["cron_jobs"] as const) : []),
  ];
}

/** The line of nebulactl that creates the device_group, or changes it as it was planned. */
export function groupLine(draft: GroupDraft, base: DeviceGroup | undefined): string {
  const fields = changedMembers(draft, base);
  const flag = (name: string, names: readonly string[]) => (names.length === 0 ? [`${name}=`] : [name, names.join(",")]);
  return commandLine([
    ...["nebulactl", "device-groups", base === undefined ? "create" : "update", draft.name],
    ...(fields.includes("apps") ? flag("--apps", draft.apps.names) : []),
    ...(fields.includes("cron_jobs") ? flag("--cron-jobs", draft.cronJobs.names) : []),
    ...(base === undefined ? [] : ["--if-revision", String(base.revision)]),
  ]);
}

/** Why a plan is not of what the form began with; undefined if it is. */
export function staleText(plan: PlanResponse, name: string, base: DeviceGroup | undefined): string | undefined {
  const { existsBefore, revisionBefore } = plannedEntity(plan);
  if (base === undefined)
    return existsBefore ? `device_group ${name} exists already, at revision ${revisionBefore}: choose another name.` : undefined;
  if (!existsBefore) return `device_group ${name} was deleted meanwhile.`;
  if (revisionBefore === base.revision) return undefined;
  return `device_group ${name} was changed meanwhile: it is at revision ${revisionBefore}, and this form began with revision ${base.revision}. Close this, and edit what it is now.`;
}
