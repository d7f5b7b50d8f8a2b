import type { JsonObject } from "@bufbuild/protobuf";
import { Code } from "@connectrpc/connect";
import { assertNever } from "../../../../common/errors/assert-never.ts";
import { printableLine } from "../../../../common/printable.ts";
import { describeChange, type FieldChange, fieldChanges } from "../../../../common/resources/field-changes.ts";
import { entityOf, type Resource } from "../../../../common/resources/resource.ts";
import { jsonNumber, resourceJson } from "../../../../common/resources/resource-fields.ts";
import { UserService } from "../../../../gen/nebula/v1/user_pb.ts";
import { unlessRefused } from "../../errors/unless-refused.ts";
import { titleOf } from "../../views/entity-view.ts";
import { bindResource, revisionOf } from "../entities/bound-resource.ts";
import type { Call, Minimums } from "../entities/kind.ts";
import type { Wanted, WantedUser } from "./wanted.ts";

/** The step of an import for one resource. */
export type Step = Readonly<
  | { kind: "create"; wanted: Wanted }
  /** `changes` is empty if only the ids are lower. */
  | { kind: "update"; wanted: Wanted; before: Resource; changes: readonly FieldChange[] }
  | { kind: "unchanged"; wanted: Wanted; before: Resource }
  /** The resource differs and was changed here since, or has no id that shows which is newer: the one here is kept. */
  | { kind: "kept"; wanted: Wanted; before: Resource; changes: readonly FieldChange[] }
>;

/**
 * Plans the step for one resource, given the one stored under its name. A repeated import changes nothing and keeps
 * later changes, unless `overwrite` is set.
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

/** A step as text: a line, followed by one for each changed field. */
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
        `${title}  kept unchanged (revision ${entityOf(step.before).revision}); --overwrite replaces it by the original's\n`,
        ...changeLines(step.changes),
      ];
    default:
      return assertNever(step);
  }
}

/** A step as JSON. */
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

/** Executes a step. Returns the resource as stored then. Rejects if others changed it since the step was planned. */
export async function writeStep(step: Step, call: Call): Promise<Resource> {
  const bound = bindResource(step.wanted.resource);
  switch (step.kind) {
    case "create":
      return (await bound.create(call, minimumsOf(step.wanted))).resource;
    case "update":
      return (await bound.replace(call, revisionOf(step.before), minimumsOf(step.wanted))).resource;
    case "unchanged":
    case "kept":
      return step.before;
    default:
      return assertNever(step);
  }
}

function minimumsOf({ id, pruneId }: Wanted): Minimums {
  return { ...(id === 0n ? {} : { minRevision: id }), ...(pruneId === 0n ? {} : { minPruneId: pruneId }) };
}

/** Whether there is a user of that name. */
export async function hasUser(name: string, { client, signal }: Call): Promise<boolean> {
  return (await unlessRefused((await client(UserService)).getUser({ name }, { signal }), Code.NotFound)) !== undefined;
}

/** Creates a user with its old password. Returns its new token; undefined if a user of that name exists. */
export async function writeUser({ name, passwordHash }: WantedUser, { client, signal }: Call): Promise<string | undefined> {
  return (await unlessRefused((await client(UserService)).createUser({ name, passwordHash }, { signal }), Code.AlreadyExists))?.generatedToken;
}
