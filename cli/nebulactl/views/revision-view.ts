import type { JsonObject, JsonValue } from "@bufbuild/protobuf";
import { timestampDate } from "@bufbuild/protobuf/wkt";
import { describeChange, type FieldChange } from "../../../common/resources/field-changes.ts";
import type { Resource } from "../../../common/resources/resource.ts";
import { jsonNumber } from "../../../common/resources/resource-fields.ts";
import { entityKindOf } from "../../../common/resources/target-kind.ts";
import { enumWords } from "../../../common/text/enum-words.ts";
import type { Change } from "../../../gen/nebula/v1/change_pb.ts";
import { type EntityChange, type Revision, RevisionAction, RevisionActionSchema, type RollbackResponse } from "../../../gen/nebula/v1/history_pb.ts";
import type { FieldDifference } from "../../../gen/nebula/v1/plan_pb.ts";
import { ageOf } from "../output/age.ts";
import type { ListView } from "../output/print-list.ts";
import type { Cell } from "../output/table.ts";
import { entityJson } from "./entity-view.ts";

/** A line of the table of a history: the first of a revision, or one more field of it. */
export type RevisionLine = readonly Cell[];

/** The lines of one revision: one per changed field, at least one. @param now wall clock, milliseconds since 1970 */
export function revisionLines(revision: Revision, now: number): RevisionLine[] {
  const { previousRevision, revision: number, change, action, differences } = revision;
  const step = previousRevision === 0n ? String(number) : `${previousRevision} -> ${number}`;
  const head = [step, ageOf(change?.at, now), change?.by ?? "", actionWord(action)];
  const fields = differences.flatMap((difference) => fieldLines(difference, action === RevisionAction.CREATE));
  if (fields.length === 0) return [head];
  return fields.map((field, at) => [...(at === 0 ? head : head.map(() => "")), ...field]);
}

export const revisionList: Omit<ListView<RevisionLine>, "json"> = {
  plural: "revisions",
  header: ["REVISION", "AGE", "BY", "ACTION", "FIELD", "CHANGE"],
  row: (line) => line,
};

export function revisionJson(revision: Revision): JsonObject {
  const resource = resourceOfBody(revision.body);
  return {
    kind: entityKindOf(revision.kind) ?? "",
    name: revision.name,
    revision: jsonNumber(revision.revision),
    ...(revision.previousRevision === 0n ? {} : { previous_revision: jsonNumber(revision.previousRevision) }),
    action: actionWord(revision.action),
    ...changeJson(revision.change),
    changes: differencesJson(revision.differences),
    ...(resource === undefined ? {} : { body: entityJson(resource) }),
  };
}

/** Changes of several entities, by time. @param now wall clock, milliseconds since 1970 */
export function changeList(now: number): ListView<EntityChange> {
  return {
    plural: "changes",
    header: ["AGE", "BY", "NAME", "REVISION", "CHANGE"],
    row: ({ kind, name, change, revisionBefore, revisionAfter, detail }) => [
      ageOf(change?.at, now),
      change?.by ?? "",
      `${entityKindOf(kind) ?? ""}/${name}`,
      revisionBefore === 0n ? String(revisionAfter) : `${revisionBefore} -> ${revisionAfter}`,
      detail,
    ],
    json: ({ kind, name, change, revisionBefore, revisionAfter, detail }) => ({
      kind: entityKindOf(kind) ?? "",
      name,
      ...changeJson(change),
      revision_before: jsonNumber(revisionBefore),
      revision: jsonNumber(revisionAfter),
      change: detail,
    }),
  };
}

/** The entity of an answer as a resource; undefined: the answer holds none, as that of a delete. */
export function resourceOfBody(body: Revision["body"] | RollbackResponse["body"]): Resource | undefined {
  switch (body.case) {
    case "app":
      return { kind: "app", app: body.value };
    case "cronJob":
      return { kind: "cron_job", cronJob: body.value };
    case "deviceGroup":
      return { kind: "device_group", deviceGroup: body.value };
    default:
      return undefined;
  }
}

/** The changed fields, a line each: its name, on its first line, and the change. */
export function fieldLines(difference: FieldDifference, isCreated = false): [field: string, change: string][] {
  return describeChange(fieldChange(difference), isCreated).map((line, at) => [at === 0 ? difference.field : "", line]);
}

export function differencesJson(differences: readonly FieldDifference[]): JsonValue[] {
  return differences.map(fieldChange).map(({ field, before, after }) => ({ field, before: before ?? null, after: after ?? null }));
}

function fieldChange({ field, beforeJson, afterJson }: FieldDifference): FieldChange {
  const parse = (text: string | undefined): JsonValue | undefined => (text === undefined ? undefined : JSON.parse(text));
  return { field, before: parse(beforeJson), after: parse(afterJson) };
}

function changeJson(change: Change | undefined): JsonObject {
  return change === undefined ? {} : { ...(change.at === undefined ? {} : { at: timestampDate(change.at).toISOString() }), by: change.by };
}

function actionWord(action: RevisionAction): string {
  for (const [word, number] of enumWords(RevisionActionSchema)) if (number === action) return word;
  return "";
}
