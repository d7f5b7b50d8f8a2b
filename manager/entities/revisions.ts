/** Kept revisions of an entity as the API answers them: with masks in place of secret values, and the fields that differ from the revision before. */
import { create, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { NebulaError } from "../../common/errors/nebula-error.ts";
import { fieldChanges } from "../../common/resources/field-changes.ts";
import type { Resource } from "../../common/resources/resource.ts";
import { resourceJson } from "../../common/resources/resource-fields.ts";
import { targetKindOf } from "../../common/resources/target-kind.ts";
import type { ChangedBy } from "../../common/storage/access-store.ts";
import { type ChangeAction, type ConfigStore, type EntityKey, MAX_REVISION, type StoredEntity } from "../../common/storage/config-store.ts";
import { PAGE_BYTES } from "../../common/storage/page.ts";
import type { ChangeSchema } from "../../gen/nebula/v1/change_pb.ts";
import { type Revision, RevisionAction, RevisionSchema } from "../../gen/nebula/v1/history_pb.ts";
import type { FieldDifferenceSchema } from "../../gen/nebula/v1/plan_pb.ts";
import { APP, CRON_JOB, DEVICE_GROUP, entityOf } from "./entity-type.ts";

type History = Pick<ConfigStore, "history">;

/** Revisions that are read of the store at a time. */
const CHUNK = 100;

/** The actions of the API. */
export const REVISION_ACTIONS: Readonly<Record<ChangeAction, RevisionAction>> = {
  create: RevisionAction.CREATE,
  update: RevisionAction.UPDATE,
  delete: RevisionAction.DELETE,
  start: RevisionAction.START,
  stop: RevisionAction.STOP,
  restart: RevisionAction.RESTART,
  prune: RevisionAction.PRUNE,
  rollback: RevisionAction.ROLLBACK,
};

/** The last change of a stored entity, user or user_group as the API answers it. */
export function lastChangeOf({ changedAt, changedBy }: ChangedBy): MessageInitShape<typeof ChangeSchema> {
  return { at: timestampFromMs(changedAt), by: changedBy };
}

/** The kept revisions before `before`, newest first: at most `limit`, and no more than PAGE_BYTES unless it is one. `next`: `before` of the next page. */
export async function readRevisions(
  store: History,
  key: EntityKey,
  { before, limit }: Readonly<{ before?: bigint | undefined; limit: number }>,
  signal: AbortSignal,
): Promise<{ revisions: Revision[]; next: bigint | undefined }> {
  const revisions: Revision[] = [];
  let bytes = 0;
  let last: StoredEntity | undefined;
  for await (const stored of keptRevisions(store, key, before, Math.min(limit + 1, CHUNK), signal)) {
    if (last !== undefined) {
      const revision = revisionOf(last, stored);
      bytes += toBinary(RevisionSchema, revision).byteLength;
      if (revisions.length > 0 && bytes > PAGE_BYTES) return { revisions, next: revisions.at(-1)?.revision };
      revisions.push(revision);
      if (revisions.length === limit) return { revisions, next: last.revision };
    }
    last = stored;
  }
  if (last !== undefined) revisions.push(revisionOf(last, undefined));
  return { revisions, next: undefined };
}

/** Reads one revision, compared with another one: without it, with the one before. Throws `not_found` if one never was, or is no longer kept. */
export async function readRevision(
  store: History,
  key: EntityKey,
  { revision, compareWith }: Readonly<{ revision: bigint; compareWith?: bigint | undefined }>,
  signal: AbortSignal,
): Promise<Revision> {
  const { stored, before } = await storedRevision(store, key, revision, signal);
  if (compareWith === undefined) return revisionOf(stored, before);
  const { stored: other } = await storedRevision(store, key, compareWith, signal);
  return revisionOf(stored, before, other);
}

/** Returns one revision as it is stored, and the kept one before it. Throws as readRevision does. */
export async function storedRevision(
  store: History,
  key: EntityKey,
  revision: bigint,
  signal: AbortSignal,
): Promise<{ stored: StoredEntity; before: StoredEntity | undefined }> {
  const found: StoredEntity[] = [];
  if (revision > 0n && revision < MAX_REVISION) {
    for await (const stored of keptRevisions(store, key, revision + 1n, 2, signal)) if (found.push(stored) === 2) break;
  }
  const [stored, before] = found;
  if (stored?.revision === revision) return { stored, before };
  throw new NebulaError("not_found", `revision ${revision} of ${key.kind} ${key.name} never was, or is no longer kept: look for it in the history`);
}

/** The newest revision before `before` that is not a delete, or undefined. */
export async function lastBodyBefore(store: History, key: EntityKey, before: bigint, signal: AbortSignal): Promise<StoredEntity | undefined> {
  for await (const stored of keptRevisions(store, key, before, 2, signal)) if (!stored.deleted) return stored;
  return undefined;
}

async function* keptRevisions(
  store: History,
  key: EntityKey,
  from: bigint | undefined,
  limit: number,
  signal: AbortSignal,
): AsyncGenerator<StoredEntity> {
  for (let before = from; ; ) {
    const page = await store.history(key, { limit, ...(before === undefined ? {} : { before }) }, signal);
    yield* page.items;
    if (page.next === undefined) return;
    before = page.next;
  }
}

/**
 * @param before the revision before
 * @param compared the revision that it is compared with
 */
function revisionOf(stored: StoredEntity, before: StoredEntity | undefined, compared = before): Revision {
  return create(RevisionSchema, {
    kind: targetKindOf(stored.kind),
    name: stored.name,
    revision: stored.revision,
    action: REVISION_ACTIONS[stored.action],
    change: lastChangeOf(stored),
    body: stored.deleted ? { case: undefined } : bodyOf(resourceOf(stored)),
    previousRevision: compared?.revision ?? 0n,
    differences: differencesOf(stored, compared),
    restored: stored.action === "rollback" && before?.deleted === true,
  });
}

function differencesOf(stored: StoredEntity, before: StoredEntity | undefined) {
  if (stored.deleted) return [];
  if (before === undefined && stored.action !== "create") return [];
  return fieldDifferences(before === undefined || before.deleted ? undefined : resourceOf(before), resourceOf(stored));
}

/** The fields in which two resources differ; without a first one those that differ from their defaults. */
export function fieldDifferences(before: Resource | undefined, after: Resource): MessageInitShape<typeof FieldDifferenceSchema>[] {
  const fields = resourceJson(after);
  const { kind = null, name = null } = fields;
  return fieldChanges(before === undefined ? { kind, name } : resourceJson(before), fields).map(({ field, before: was, after: is }) => ({
    field,
    ...(was === undefined ? {} : { beforeJson: JSON.stringify(was) }),
    ...(is === undefined ? {} : { afterJson: JSON.stringify(is) }),
  }));
}

/** A stored entity as a resource, with masks in place of its secret values. */
function resourceOf(stored: StoredEntity): Resource {
  switch (stored.kind) {
    case "app":
      return { kind: "app", app: entityOf(APP, stored) };
    case "cron_job":
      return { kind: "cron_job", cronJob: entityOf(CRON_JOB, stored) };
    case "device_group":
      return { kind: "device_group", deviceGroup: entityOf(DEVICE_GROUP, stored) };
  }
}

/** The `body` of an answer. */
export function bodyOf(resource: Resource): Revision["body"] {
  switch (resource.kind) {
    case "app":
      return { case: "app", value: resource.app };
    case "cron_job":
      return { case: "cronJob", value: resource.cronJob };
    case "device_group":
      return { case: "deviceGroup", value: resource.deviceGroup };
    default:
      return { case: undefined };
  }
}
