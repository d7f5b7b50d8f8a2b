import type { JsonObject } from "@bufbuild/protobuf";
import { assertNever } from "../../../common/errors/assert-never.ts";
import { printableLine } from "../../../common/printable.ts";
import { describeChange, type FieldChange } from "../../../common/resources/field-changes.ts";
import { entityOf } from "../../../common/resources/resource.ts";
import { jsonNumber } from "../../../common/resources/resource-fields.ts";
import { titleOf } from "../nouns/written.ts";
import type { Step } from "./plan-import.ts";

/** What a step is to do, for a person: a line, and one for each field that differs. */
export function stepLines(step: Step, width: number): string[] {
  const title = titleOf(step.wanted.resource).padEnd(width);
  const { id } = step.wanted;
  switch (step.kind) {
    case "create":
      return [`${title}  create${id > 1n ? `, at revision ${id} or above` : ""}\n`];
    case "update": {
      const before = entityOf(step.before).revision;
      return [`${title}  update ${before} -> ${id > before ? id : before + 1n}\n`, ...changeLines(step.changes)];
    }
    case "unchanged":
      return [`${title}  unchanged ${entityOf(step.before).revision}\n`];
    case "kept":
      return [
        `${title}  kept as it is here (revision ${entityOf(step.before).revision}); --overwrite takes the original's\n`,
        ...changeLines(step.changes),
      ];
    default:
      return assertNever(step);
  }
}

/** The same for a program. */
export function stepJson(step: Step): JsonObject {
  const { resource, id } = step.wanted;
  const before = step.kind === "create" ? undefined : entityOf(step.before).revision;
  const changes = step.kind === "update" || step.kind === "kept" ? step.changes : [];
  return {
    kind: resource.kind,
    name: entityOf(resource).name,
    step: step.kind,
    ...(id === 0n ? {} : { original_id: jsonNumber(id) }),
    ...(before === undefined ? {} : { revision_before: jsonNumber(before) }),
    changes: changes.map(({ field, before: was, after: is }) => ({ field, before: was ?? null, after: is ?? null })),
  };
}

function changeLines(changes: readonly FieldChange[]): string[] {
  const width = Math.max(0, ...changes.map(({ field }) => field.length));
  return changes.flatMap((change) =>
    describeChange(change).map((line, index) => `    ${(index === 0 ? change.field : "").padEnd(width)}  ${printableLine(line)}\n`),
  );
}
