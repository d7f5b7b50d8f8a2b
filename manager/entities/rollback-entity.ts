/**
 * Rollbacks: a new revision with the body of an older one.
 *
 * B1 The fields that only the server writes (restart_count, prune_id) stay as they are today.
 * B2 A secret variable that the entity has today keeps today's value, unless the secrets come back too; one that only the older body has gets the older value. Of a
 *    deleted entity today's values are those that it had at its delete.
 * B3 The new body holds no value that the cluster key does not open.
 */
import { assertNoViolations, NebulaError } from "../../common/errors/nebula-error.ts";
import { displayOf } from "../../common/secrets/sealed-text.ts";
import { maskSecretEnvVars, openSecretEnvVars, type SecretEnvVars } from "../../common/secrets/secret-env-vars.ts";
import type { StoredEntity } from "../../common/storage/config-store.ts";
import { noSuch } from "../../common/text/no-such.ts";
import { validateName } from "../../common/validation/names.ts";
import { nameOf } from "../access/principal.ts";
import type { CallContext } from "../rpc/call-context.ts";
import { type Entity, type EntityType, sealedEntityOf } from "./entity-type.ts";
import { lastBodyBefore, storedRevision } from "./revisions.ts";
import { updatedViolations } from "./update-fields.ts";
import type { Current, EntityWriter } from "./write-entity.ts";

export type RollbackRequest<E> = Readonly<{
  name: string;
  /** The revision whose body comes back; undefined: the newest one before the present one that is not a delete. */
  to: bigint | undefined;
  ifRevision: bigint | undefined;
  /** Whether secret values come back, too. */
  secrets: boolean;
  /** Whether nothing is written. */
  dryRun: boolean;
  /** Throws what is wrong with the new entity besides its fields. `before`: the present one, undefined if it is deleted. */
  check?: (next: E, before: E | undefined) => Promise<void>;
}>;

export type RolledBack<E> = Readonly<{
  /** The present entity as it was; undefined: it was deleted. */
  before: E | undefined;
  revisionBefore: bigint;
  /** At its revision; of a dry run, at the revision that it would get. */
  after: E;
  to: bigint;
  /** Secret variables that stay as they are although the older body has another value. */
  keptSecrets: readonly string[];
}>;

/**
 * Makes a new revision with an older body. Nothing is written if nothing differs. Rejects with `not_found` if there is no such entity or revision,
 * `failed_precondition` if there is no older body, or if a value cannot be opened, `conflict` as EntityWriter.write does, of a deleted entity too, and
 * with what `check` throws.
 */
export async function rollBackEntity<E extends Entity>(
  writer: EntityWriter<E>,
  request: RollbackRequest<E>,
  context: CallContext,
): Promise<RolledBack<E>> {
  const { name, ifRevision, dryRun } = request;
  const { type, deps } = writer;
  const { principal, signal, changed } = context;
  assertNoViolations(validateName(name));
  if (dryRun) {
    const stored = await deps.configStore.get({ kind: type.kind, name }, { signal });
    const entity = stored === undefined || stored.deleted ? undefined : sealedEntityOf(type, stored);
    const planned = await planRollback(writer, request, { stored, entity }, signal);
    return answerOf(type, planned, planned.isSame ? planned.revisionBefore : planned.revisionBefore + 1n);
  }
  let planned: Plan<E> | undefined;
  const { entity } = await writer.write({ name, ifRevision, by: nameOf(principal), signal, changed }, async (current) => {
    planned = await planRollback(writer, request, current, signal);
    if (planned.isSame) return { kind: "keep" };
    return { kind: "write", entity: planned.next, action: "rollback", detail: `rollback to revision ${planned.to}` };
  });
  if (planned === undefined) throw new NebulaError("internal", "a rollback was written without a plan");
  return answerOf(type, planned, entity.revision);
}

type Plan<E> = Readonly<{
  revisionBefore: bigint;
  before: E | undefined;
  next: E;
  to: bigint;
  keptSecrets: readonly string[];
  isSame: boolean;
}>;

async function planRollback<E extends Entity>(
  { type, deps }: EntityWriter<E>,
  { name, to, ifRevision, secrets, check }: RollbackRequest<E>,
  { stored, entity: before }: Current<E>,
  signal: AbortSignal,
): Promise<Plan<E>> {
  const key = { kind: type.kind, name };
  if (stored === undefined) throw noSuch(type.kind, name);
  if (ifRevision !== undefined && ifRevision !== stored.revision) {
    throw new NebulaError(
      "conflict",
      `${type.kind} ${name} is at revision ${stored.revision}, not at ${ifRevision} (if_revision): read it again, then decide`,
    );
  }
  const older = await olderBody();
  const next = sealedEntityOf(type, older);
  next.revision = stored.revision;
  const present = sealedEntityOf(type, stored);
  type.carryOver(present, next); // B1
  const keptSecrets = keepSecrets(type.secrets(present)?.values ?? {}, type.secrets(next)?.values ?? {}, !secrets);
  const owned = type.secrets(next);
  if (owned !== undefined) openSecretEnvVars(deps.secretKeys, owned.owner, { ...owned.values }); // B3
  const isSame = before !== undefined && type.isSame(before, next);
  if (!isSame) assertNoViolations(updatedViolations(next, type.validate, type.unknownFields));
  await check?.(next, before);
  return { revisionBefore: stored.revision, before, next, to: older.revision, keptSecrets, isSame };

  async function olderBody(): Promise<StoredEntity> {
    if (to === undefined) {
      const last = await lastBodyBefore(deps.configStore, key, stored?.revision ?? 0n, signal);
      if (last !== undefined) return last;
      throw new NebulaError(
        "failed_precondition",
        `no revision of ${type.kind} ${name} before ${stored?.revision} is kept: there is nothing to roll back to`,
      );
    }
    const { stored: found } = await storedRevision(deps.configStore, key, to, signal);
    if (!found.deleted) return found;
    throw new NebulaError("failed_precondition", `revision ${to} of ${type.kind} ${name} is its delete: use a revision before it`);
  }
}

/** B2: puts today's values in place of older ones; if not `all`, only where they are equal, so that nothing differs. Returns the names of those that differed. */
function keepSecrets(today: Readonly<SecretEnvVars>, next: SecretEnvVars, all: boolean): string[] {
  return Object.entries(next).flatMap(([variable, older]) => {
    const value = Object.hasOwn(today, variable) ? today[variable] : undefined;
    if (value === undefined) return [];
    const isEqual = displayOf(value) === displayOf(older);
    if (isEqual || all) next[variable] = value;
    return isEqual || !all ? [] : [variable];
  });
}

/** The answer of a plan, with masks in place of secret values. */
function answerOf<E extends Entity>(
  type: EntityType<E>,
  { before, next, revisionBefore, to, keptSecrets }: Plan<E>,
  revision: bigint,
): RolledBack<E> {
  const after = masked(type, next);
  after.revision = revision;
  return { before: before === undefined ? undefined : masked(type, before), revisionBefore, after, to, keptSecrets };
}

function masked<E extends Entity>(type: EntityType<E>, entity: E): E {
  const copy = type.normalise(entity);
  maskSecretEnvVars(type.secrets(copy)?.values ?? {});
  return copy;
}
