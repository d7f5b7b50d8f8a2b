import { type FieldChange, fieldChanges } from "../../../common/resources/field-changes.ts";
import { entityOf, type Resource } from "../../../common/resources/resource.ts";
import { resourceJson } from "../../../common/resources/resource-fields.ts";
import type { Wanted } from "./wanted.ts";

/** What an import does with one of them. */
export type Step = Readonly<
  | { kind: "create"; wanted: Wanted }
  /** `changes` is empty where only the ids are behind. */
  | { kind: "update"; wanted: Wanted; before: Resource; changes: readonly FieldChange[] }
  | { kind: "unchanged"; wanted: Wanted; before: Resource }
  /** It is another here, and was changed here since, or has no id that would say which is newer: what is here counts. */
  | { kind: "kept"; wanted: Wanted; before: Resource; changes: readonly FieldChange[] }
>;

/**
 * What an import does with one resource, from what is stored under its name. Again after an import it is nothing, and what was changed here since then stays,
 * unless all is to be overwritten.
 */
export function planStep(wanted: Wanted, before: Resource | undefined, overwrite: boolean): Step {
  if (before === undefined) return { kind: "create", wanted };
  const changes = fieldChanges(resourceJson(before), resourceJson(wanted.resource));
  const { revision } = entityOf(before);
  if (changes.length > 0 && (wanted.id === 0n || revision > wanted.id) && !overwrite) return { kind: "kept", wanted, before, changes };
  const idsReached = revision >= wanted.id && pruneIdOf(before) >= wanted.pruneId;
  return changes.length === 0 && idsReached ? { kind: "unchanged", wanted, before } : { kind: "update", wanted, before, changes };
}

function pruneIdOf(resource: Resource): bigint {
  return resource.kind === "device_group" ? resource.deviceGroup.pruneId : 0n;
}
