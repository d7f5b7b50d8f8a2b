import { assertNoViolations, invalidArgument, NebulaError, type Violation } from "../../common/errors/nebula-error.ts";
import { keepStored } from "../../common/secrets/secret-env-vars.ts";
import type { ChangeAction } from "../../common/storage/config-store.ts";
import type { PageRequest } from "../../common/storage/page.ts";
import { noSuch } from "../../common/text/no-such.ts";
import { type PageFields, pageOf } from "../../common/validation/list-request.ts";
import { validateName } from "../../common/validation/names.ts";
import { nameOf, type Principal } from "../access/principal.ts";
import type { CallContext } from "../rpc/call-context.ts";
import { type Entity, type EntityType, entityOf } from "./entity-type.ts";
import { listReadable } from "./readable-entities.ts";
import { lastChangeOf } from "./revisions.ts";
import { checkGiven, updatedViolations, updateFieldsViolations } from "./update-fields.ts";
import type { EntityDeps, EntityWriter, Written } from "./write-entity.ts";

/** Returns a new state as it will be stored, or throws; called once per try. `before` is what is stored now. */
export type Prepare<E> = (next: E, before: E | undefined) => Promise<E>;

export type CreateFields<E> = Minimums & Readonly<{ given: E | undefined; prepare?: Prepare<E> }>;

/** Entries of update_fields that are accepted. */
const MOST_FIELDS = 1000;

/** Creates an entity, or continues the tombstone of its name (R1). */
export async function createEntity<E extends Entity>(writer: EntityWriter<E>, fields: CreateFields<E>, context: CallContext): Promise<Written<E>> {
  const { type, deps } = writer;
  const given = checkGiven(type.kind, fields.given, type.unknownFields);
  checkMinimums(fields, context.principal);
  assertNoViolations([...type.validate(given), ...keepSecrets(type, deps, given, undefined)]);
  return writer.write({ ...requestOf(given.name, context), minRevision: fields.minRevision }, async ({ stored, entity }) => {
    if (entity !== undefined) {
      throw new NebulaError(
        "already_exists",
        `${type.kind} ${given.name} exists already, at revision ${entity.revision}: update it, or choose another name`,
      );
    }
    const created = type.normalise(given);
    type.carryOver(stored === undefined ? undefined : type.decode(stored), created);
    return { kind: "write", entity: (await fields.prepare?.(created, undefined)) ?? created, action: "create" };
  });
}

export type UpdateFields<E> = Minimums &
  Readonly<{
    given: E | undefined;
    updateFields: readonly string[];
    ifRevision?: bigint | undefined;
    redeploy: boolean;
    prepare?: Prepare<E>;
    /** Changes an entity in which nothing differs, for a redeploy; its revision rises in any case. */
    redeployed?: (entity: E) => void;
  }>;

/** Changes the named fields. If nothing differs nothing is written, unless it is a redeploy or min_revision is not reached. */
export async function updateEntity<E extends Entity>(writer: EntityWriter<E>, fields: UpdateFields<E>, context: CallContext): Promise<Written<E>> {
  const { type, deps } = writer;
  const given = checkGiven(type.kind, fields.given, type.unknownFields);
  checkMinimums(fields, context.principal);
  assertNoViolations(validateName(given.name));
  if (fields.updateFields.length > 0 || !fields.redeploy)
    assertNoViolations(updateFieldsViolations(fields.updateFields, MOST_FIELDS, "* for all of them, or set redeploy"));
  const request = { ...requestOf(given.name, context), ifRevision: fields.ifRevision, minRevision: fields.minRevision };
  return writer.write(request, async ({ entity }) => {
    const before = existing(type, given.name, entity);
    const update = type.update(before, given, fields.updateFields);
    if (update.kind === "invalid") throw invalidArgument(update.violations);
    const changed = type.normalise(update.message);
    assertNoViolations(keepSecrets(type, deps, changed, before));
    const isChanged = !type.isSame(before, changed);
    if (isChanged) assertNoViolations(updatedViolations(changed, type.validate, type.unknownFields));
    const next = (await fields.prepare?.(changed, before)) ?? changed;
    if (fields.prepare === undefined ? !isChanged : type.isSame(before, next)) {
      if (fields.redeploy) fields.redeployed?.(next);
      else if ((fields.minRevision ?? 0n) <= before.revision) return { kind: "keep" };
    }
    return { kind: "write", entity: next, action: "update" };
  });
}

/** Deletes: a change like any other, which leaves a tombstone (R1). */
export function deleteEntity<E extends Entity>(
  writer: EntityWriter<E>,
  { name, ifRevision }: Readonly<{ name: string; ifRevision?: bigint | undefined }>,
  context: CallContext,
): Promise<Written<E>> {
  assertNoViolations(validateName(name));
  return writer.write({ ...requestOf(name, context), ifRevision }, ({ entity }) => {
    existing(writer.type, name, entity);
    return { kind: "delete" };
  });
}

/** A change that is written at every call: start, stop, restart, prune. */
export async function actOnEntity<E extends Entity>(
  writer: EntityWriter<E>,
  { name, ifRevision, action }: Readonly<{ name: string; ifRevision?: bigint | undefined; action: Exclude<ChangeAction, "delete"> }>,
  context: CallContext,
  act: (entity: E) => void,
): Promise<E> {
  assertNoViolations(validateName(name));
  const { entity } = await writer.write({ ...requestOf(name, context), ifRevision }, (current) => {
    const next = existing(writer.type, name, current.entity);
    act(next);
    return { kind: "write", entity: next, action };
  });
  return entity;
}

/** Reads one entity, and its last change. */
export async function getEntity<E extends Entity>({ type, deps }: EntityWriter<E>, name: string, { signal }: CallContext) {
  assertNoViolations(validateName(name));
  const stored = await deps.configStore.get({ kind: type.kind, name }, { signal });
  if (stored === undefined || stored.deleted) throw noSuch(type.kind, name);
  return { entity: entityOf(type, stored), lastChange: lastChangeOf(stored) };
}

/** One page by name, of what the caller may read. */
export async function listEntities<E extends Entity>(
  { type, deps }: EntityWriter<E>,
  page: PageFields,
  { principal, signal }: CallContext,
): Promise<{ entities: E[]; nextPageToken: string }> {
  const list = (part: PageRequest) => listReadable(deps.configStore, type.kind, principal, part, signal);
  const { items, next } = await deps.visiblePages(list, pageOf(page), undefined);
  return { entities: items.map((stored) => entityOf(type, stored)), nextPageToken: next ?? "" };
}

function requestOf(name: string, { principal, signal, changed }: CallContext) {
  return { name, by: nameOf(principal), signal, changed };
}

function existing<E extends Entity>(type: EntityType<E>, name: string, entity: E | undefined): E {
  if (entity === undefined) throw noSuch(type.kind, name);
  return entity;
}

/** Replaces masks by the stored secret values that they stand for. Returns what is wrong with the given ones. */
function keepSecrets<E extends Entity>(type: EntityType<E>, { secretKeys }: EntityDeps, changed: E, before: E | undefined): Violation[] {
  const secrets = type.secrets(changed);
  if (secrets === undefined) return [];
  return keepStored(secretKeys, secrets.owner, secrets.values, before === undefined ? {} : (type.secrets(before)?.values ?? {}));
}

/** Numbers that an import may raise: each at least this. */
export type Minimums = Readonly<{ minRevision?: bigint | undefined; minPruneId?: bigint | undefined }>;

/** v2 carries these numbers in JSON, which is exact up to twice this; the other half is left so that they can still rise. */
const LARGEST = BigInt(Number.MAX_SAFE_INTEGER) / 2n;

/** Throws `permission_denied` if a caller who is not an admin gives one, `invalid_argument` if one is too large. */
function checkMinimums({ minRevision, minPruneId }: Minimums, principal: Principal): void {
  const given = [
    ["min_revision", minRevision],
    ["min_prune_id", minPruneId],
  ] as const;
  const isAdmin = principal.kind === "user" && principal.rights.admin;
  const violations = given.flatMap(([field, value]): Violation[] => {
    if (value === undefined) return [];
    if (!isAdmin) throw new NebulaError("permission_denied", `${field} is for imports by admins: leave it out, or log in as one`);
    return value <= LARGEST ? [] : [{ field, description: `${value} is too large; use at most ${LARGEST}` }];
  });
  assertNoViolations(violations);
}
