import type { JsonObject } from "@bufbuild/protobuf";
import { timestampDate } from "@bufbuild/protobuf/wkt";
import { differencesJson, fieldLines } from "../../../common/resources/field-changes.ts";
import type { Resource } from "../../../common/resources/resource.ts";
import { jsonNumber } from "../../../common/resources/resource-fields.ts";
import { entityKindOf } from "../../../common/resources/target-kind.ts";
import { ageOf } from "../../../common/text/age.ts";
import type { Cell } from "../../../common/text/cell.ts";
import { enumWord } from "../../../common/text/enum-words.ts";
import type { Change } from "../../../gen/nebula/v1/change_pb.ts";
import { type EntityChange, type Revision, RevisionAction, RevisionActionSchema, type RollbackResponse } from "../../../gen/nebula/v1/history_pb.ts";
import type { ListView } from "../output/print-list.ts";
import { entityJson } from "./entity-view.ts";

/** A line of the table of a history: the first of a revision, or one more field of it. */
export type RevisionLine = readonly Cell[];

/** The lines of one revision: one per changed field, at least one. @param now wall clock, milliseconds since 1970 */
export function revisionLines(revision: Revision, now: number): RevisionLine[] {
  const { previousRevision, revision: number, change, action, differences, restored } = revision;
  const step = previousRevision === 0n ? String(number) : `${previousRevision} -> ${number}`;
  const head = [step, ageOf(change?.at, now), change?.by ?? "", enumWord(RevisionActionSchema, action)];
  const fields = differences.flatMap((difference) => fieldLines(difference, restored || action === RevisionAction.CREATE));
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
    action: enumWord(RevisionActionSchema, revision.action),
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

function changeJson(change: Change | undefined): JsonObject {
  return change === undefined ? {} : { ...(change.at === undefined ? {} : { at: timestampDate(change.at).toISOString() }), by: change.by };
}
