import type { Clock } from "../../common/clock/clock.ts";
import { NebulaError } from "../../common/errors/nebula-error.ts";
import type { ChangeFeed } from "../../common/feed/change-feed.ts";
import type { Log } from "../../common/log/log.ts";
import { sealSecretEnvVars } from "../../common/secrets/secret-env-vars.ts";
import type { SecretKeys } from "../../common/secrets/secret-keys.ts";
import type { ConfigCache } from "../../common/storage/config-cache.ts";
import type { ChangeAction, ConfigStore, EntityWrite, StoredEntity } from "../../common/storage/config-store.ts";
import type { VisiblePages } from "../access/visible-pages.ts";
import type { CallContext } from "../rpc/call-context.ts";
import { type Attempt, checkRevision, compareAndSet } from "./compare-and-set.ts";
import { type Entity, type EntityType, entityOf, sealedEntityOf } from "./entity-type.ts";
import { KeyedQueue } from "./keyed-queue.ts";

export type EntityDeps = Readonly<{
  configStore: ConfigStore;
  configCache: ConfigCache;
  changeFeed: ChangeFeed;
  secretKeys: SecretKeys;
  visiblePages: VisiblePages;
  /** Whether workers of the original poll a device_group. */
  isPolled: (deviceGroup: string) => boolean;
  clock: Clock;
  log: Log;
}>;

/** What a change makes of what is stored: the whole new entity, or nothing. */
export type Planned<E> = Readonly<
  | { kind: "write"; entity: E; action: Exclude<ChangeAction, "delete"> }
  | { kind: "delete" }
  /** What is stored stays, and no revision is given. */
  | { kind: "keep" }
>;

export type WriteRequest = Readonly<{
  name: string;
  /** Only at this revision. */
  ifRevision?: bigint | undefined;
  /** The new revision is at least this. */
  minRevision?: bigint | undefined;
  /** Who changes it. */
  by: string;
  signal: AbortSignal;
  /** Told of the change, or that what is stored stays. */
  changed: CallContext["changed"];
}>;

/** What is stored now: its newest revision, a tombstone included, and the entity, its secret values sealed, unless it is deleted. */
export type Current<E> = Readonly<{ stored: StoredEntity | undefined; entity: E | undefined }>;

/** An entity after a write, at its revision, as it is answered. */
export type Written<E> = Readonly<{ entity: E; wrote: boolean }>;

/** Changes of one name that wait in one shard. */
const WAITING_LIMIT = 256;

/**
 * Writes entities by compare-and-set.
 * 1. What is written was made from exactly the revision that it replaces: the new revision is above it, and given to nothing else.
 * 2. Changes of one name queue up within a shard; only those of other shards cost tries.
 * 3. No secret value is stored unsealed, or answered.
 * 4. A write is announced after it is stored: cache and feed never hear of a revision that is not there.
 */
export class EntityWriter<E extends Entity> {
  readonly type: EntityType<E>;
  readonly deps: EntityDeps;
  readonly #queue = new KeyedQueue(WAITING_LIMIT);

  constructor(type: EntityType<E>, deps: EntityDeps) {
    this.type = type;
    this.deps = deps;
  }

  /**
   * Plans a change of what is stored and stores it. `plan` may be called several times, and throws what is wrong with the change (not_found, already_exists, ...).
   * Rejects with `conflict` when the entity is not at if_revision, or when others were faster each time.
   */
  write(request: WriteRequest, plan: (current: Current<E>) => Promise<Planned<E>> | Planned<E>): Promise<Written<E>> {
    const change = { ...request, kind: this.type.kind };
    return this.#queue.run(`${this.type.kind} ${request.name}`, request.signal, () =>
      compareAndSet(change, this.deps.clock, async (): Promise<Attempt<Written<E>>> => {
        const stored = await this.deps.configStore.get({ kind: this.type.kind, name: request.name });
        const current = { stored, entity: stored === undefined || stored.deleted ? undefined : sealedEntityOf(this.type, stored) };
        if (current.entity !== undefined) checkRevision(change, current.entity.revision);
        const write = this.#writeOf(request, current, await plan(current));
        if (write === undefined) return { kind: "done", value: this.#kept(present(stored), request) };
        const outcome = await this.deps.configStore.write(write);
        return outcome.kind === "written" ? { kind: "done", value: this.#written(write, request) } : outcome;
      }),
    );
  }

  #writeOf({ name, minRevision = 0n, by }: WriteRequest, { stored, entity }: Current<E>, planned: Planned<E>): EntityWrite | undefined {
    if (planned.kind === "keep") return undefined;
    const expected = stored?.revision ?? 0n;
    const revision = minRevision > expected ? minRevision : expected + 1n; // 1
    const write = { kind: this.type.kind, name, expected, revision, changedAt: this.deps.clock.now(), changedBy: by };
    if (planned.kind === "delete") return { ...write, deleted: true, action: "delete", body: this.type.encode(present(entity)) };
    planned.entity.revision = revision;
    const secrets = this.type.secrets(planned.entity);
    if (secrets !== undefined) sealSecretEnvVars(this.deps.secretKeys, secrets.owner, secrets.values); // 3
    const members = this.type.members(planned.entity);
    return {
      ...write,
      deleted: false,
      action: planned.action,
      body: this.type.encode(planned.entity),
      ...(members === undefined ? {} : { members }),
    };
  }

  #kept(stored: StoredEntity, { name, changed }: WriteRequest): Written<E> {
    const { revision } = stored;
    changed({ kind: this.type.kind, name, revisionBefore: revision, revisionAfter: revision, detail: "nothing differs" });
    return { entity: entityOf(this.type, stored), wrote: false }; // 3
  }

  #written(write: EntityWrite, request: WriteRequest): Written<E> {
    const { kind, name, expected, revision, action } = write;
    request.changed({ kind, name, revisionBefore: expected, revisionAfter: revision, detail: action });
    this.deps.configCache.told({ kind, name }, revision); // 4
    void this.deps.changeFeed.publish({ kind: "entity", entity: { kind, name }, revision }); // never rejects, and no answer waits for a hint
    this.deps.log.info({ kind, name, revision: String(revision), action, by: request.by }, "entity changed");
    return { entity: entityOf(this.type, write), wrote: true }; // 3
  }
}

function present<E>(entity: E | undefined): E {
  if (entity === undefined) throw new NebulaError("internal", "a change of nothing was planned");
  return entity;
}
