import { printableLine } from "../../../common/printable.ts";
import { describeChange, fieldChanges } from "../../../common/resources/field-changes.ts";
import { entityOf, type Resource } from "../../../common/resources/resource.ts";
import { resourceJson } from "../../../common/resources/resource-fields.ts";

/** `app web`. */
export function titleOf(resource: Resource): string {
  return `${resource.kind} ${entityOf(resource).name}`;
}

/**
 * What a write did, as lines: `app web  updated 41 -> 42`, and the fields that changed below.
 * @param before undefined: it was created
 * @param width characters that the title takes at least
 */
export function writtenLines(before: Resource | undefined, after: Resource, width: number): string[] {
  const title = titleOf(after).padEnd(width);
  const revision = entityOf(after).revision;
  if (before === undefined) return [`${title}  created ${revision}\n`];
  const old = entityOf(before).revision;
  if (old === revision) return [`${title}  unchanged ${revision}\n`];
  const changes = fieldChanges(resourceJson(before), resourceJson(after));
  const fieldWidth = Math.max(0, ...changes.map(({ field }) => field.length));
  const lines = changes.flatMap((change) =>
    describeChange(change).map((line, index) => `    ${(index === 0 ? change.field : "").padEnd(fieldWidth)}  ${printableLine(line)}\n`),
  );
  return [`${title}  updated ${old} -> ${revision}\n`, ...lines];
}
