import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { invalidArgument, NebulaError, type Violation } from "../../common/errors/nebula-error.ts";
import { keepStored } from "../../common/secrets/secret-env-vars.ts";
import type { ChangeAction, StoredEntity } from "../../common/storage/config-store.ts";
import { validateName } from "../../common/validation/name.ts";
import { type PageFields, pageOf } from "../../common/validation/page.ts";
import { readableBy } from "../access/visible-pages.ts";
import { type CallContext, nameOf } from "../rpc/call-context.ts";
import { type Entity, type EntityType, entityOf } from "./entity-type.ts";
import { checkMinimums, type Minimums } from "./import-minimum.ts";
import type { EntityDeps, EntityWriter, Written } from "./write-entity.ts";

/** Has the last word on a new state, once per try: answers it as it is to be stored, or throws. `before` is what is stored now. */
export type Prepare<E> = (next: E, before: E | undefined) => Promise<E>;

export type CreateFields<E> = Minimums & Readonly<{ given: E | undefined; prepare?: Prepare<E> }>;

/** Entries of update_fields; each is looked up among the fields' names. */
const MOST_FIELDS = 1000;

/** Creates an entity, or continues the tombstone of its name (R1). */
export async function createEntity<E extends Entity>(writer: EntityWriter<E>, fields: CreateFields<E>, context: CallContext): Promise<Written<E>> {
  const { type, deps } = writer;
  const given = checkGiven(type, fields.given);
  checkMinimums(fields, context.principal);
  refuse([...type.validate(given), ...keepSecrets(type, deps, given, undefined)]);
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
    /** What a redeploy does to an entity in which nothing differs, besides its revision. */
    redeployed?: (entity: E) => void;
  }>;

/** Changes the named fields. Where nothing differs nothing is written, unless it is a redeploy or min_revision is not reached. */
export async function updateEntity<E extends Entity>(writer: EntityWriter<E>, fields: UpdateFields<E>, context: CallContext): Promise<Written<E>> {
  const { type, deps } = writer;
  const given = checkGiven(type, fields.given);
  checkMinimums(fields, context.principal);
  refuse(validateName(given.name));
  refuse(updateFieldsViolations(fields));
  const request = { ...requestOf(given.name, context), ifRevision: fields.ifRevision, minRevision: fields.minRevision };
  return writer.write(request, async ({ entity }) => {
    const before = existing(type, given.name, entity);
    const update = type.update(before, given, fields.updateFields);
    if (update.kind === "invalid") throw invalidArgument(update.violations);
    const changed = type.normalise(update.message);
    refuse(keepSecrets(type, deps, changed, before));
    if (!isSame(type, before, changed)) refuse(newViolations(type, changed));
    const next = (await fields.prepare?.(changed, before)) ?? changed;
    if (isSame(type, before, next)) {
      if (fields.redeploy) fields.redeployed?.(next);
      else if ((fields.minRevision ?? 0n) <= before.revision) return { kind: "keep" };
    }
    return { kind: "write", entity: next, action: "update" };
  });
}

function updateFieldsViolations({ updateFields: { length }, redeploy }: Pick<UpdateFields<never>, "updateFields" | "redeploy">): Violation[] {
  const field = "update_fields";
  if (length === 0 && !redeploy) return [{ field, description: "is empty; name the fields to change, * for all of them, or set redeploy" }];
  return length <= MOST_FIELDS ? [] : [{ field, description: `has ${length} entries; at most ${MOST_FIELDS}, or * for all, would do` }];
}

/** Deletes: a change like any other, which leaves a tombstone (R1). */
export function deleteEntity<E extends Entity>(
  writer: EntityWriter<E>,
  { name, ifRevision }: Readonly<{ name: string; ifRevision?: bigint | undefined }>,
  context: CallContext,
): Promise<Written<E>> {
  refuse(validateName(name));
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
  refuse(validateName(name));
  const { entity } = await writer.write({ ...requestOf(name, context), ifRevision }, (current) => {
    const next = existing(writer.type, name, current.entity);
    act(next);
    return { kind: "write", entity: next, action };
  });
  return entity;
}

/** Reads one entity, and who changed it last. */
export async function getEntity<E extends Entity>({ type, deps }: EntityWriter<E>, name: string) {
  refuse(validateName(name));
  const stored = await deps.configStore.get({ kind: type.kind, name });
  if (stored === undefined || stored.deleted) throw notFound(type, name);
  return { entity: entityOf(type, stored), lastChange: { at: timestampFromMs(stored.changedAt), by: stored.changedBy } };
}

/** One page by name, of what the caller may read. */
export async function listEntities<E extends Entity>(
  { type, deps }: EntityWriter<E>,
  page: PageFields,
  { principal }: CallContext,
): Promise<{ entities: E[]; nextPageToken: string }> {
  const isVisible = readableBy<StoredEntity>(principal, type.kind, ({ name }) => name);
  const { items, next } = await deps.visiblePages((part) => deps.configStore.list(type.kind, part), pageOf(page), isVisible);
  return { entities: items.map((stored) => entityOf(type, stored)), nextPageToken: next ?? "" };
}

function requestOf(name: string, { principal, signal, changed }: CallContext) {
  return { name, by: nameOf(principal), signal, changed };
}

function checkGiven<E extends Entity>(type: EntityType<E>, given: E | undefined): E {
  if (given === undefined)
    throw invalidArgument([{ field: type.kind, description: "is missing; give the whole of it, or at least its name and what changes" }]);
  refuse(
    type.unknownFields(given).map((field) => ({ field, description: "is not known to this manager; leave it out, or upgrade the managers first" })),
  );
  return given;
}

function existing<E extends Entity>(type: EntityType<E>, name: string, entity: E | undefined): E {
  if (entity === undefined) throw notFound(type, name);
  return entity;
}

function notFound<E extends Entity>({ kind }: EntityType<E>, name: string): NebulaError {
  return new NebulaError("not_found", `there is no ${kind} ${name}: create it first, or look for its name in the list`);
}

/** What is wrong with an entity after an update. Fields that a newer manager has stored stay as they are: they are not this one's to judge. */
function newViolations<E extends Entity>(type: EntityType<E>, entity: E): Violation[] {
  const unknown = new Set(type.unknownFields(entity));
  return type.validate(entity).filter(({ field }) => !unknown.has(field));
}

/** Puts the secret values that are stored in place of what stands for them. Answers which of the given ones are no values. */
function keepSecrets<E extends Entity>(type: EntityType<E>, { secretKeys }: EntityDeps, changed: E, before: E | undefined): Violation[] {
  const secrets = type.secrets(changed);
  if (secrets === undefined) return [];
  return keepStored(secretKeys, secrets.owner, secrets.values, before === undefined ? {} : (type.secrets(before)?.values ?? {}));
}

function isSame<E extends Entity>(type: EntityType<E>, a: E, b: E): boolean {
  return Buffer.compare(type.encode(a), type.encode(b)) === 0;
}

function refuse(violations: readonly Violation[]): void {
  if (violations.length > 0) throw invalidArgument(violations);
}
