import type { Clock } from "../../common/clock/clock.ts";
import { NebulaError } from "../../common/errors/nebula-error.ts";
import type { ChangeFeed } from "../../common/feed/change-feed.ts";
import type { Log } from "../../common/log/log.ts";
import { sealSecretEnvVars } from "../../common/secrets/secret-env-vars.ts";
import type { SecretKeys } from "../../common/secrets/secret-keys.ts";
import type { ConfigCache } from "../../common/storage/config-cache.ts";
import type { ChangeAction, ConfigStore, EntityWrite, StoredEntity } from "../../common/storage/config-store.ts";
import type { VisiblePages } from "../access/rights/visible-pages.ts";
import { ConditionalWriter, type PlannedWrite, type Stamp, type WriteRequest } from "./conditional-writer.ts";
import { type Entity, type EntityType, entityOf, sealedEntityOf } from "./entity-type.ts";

export type EntityDeps = Readonly<{
  configStore: ConfigStore;
  configCache: ConfigCache;
  changeFeed: ChangeFeed;
  secretKeys: SecretKeys;
  visiblePages: VisiblePages;
  /** Returns whether workers of the original poll a device_group. */
  isPolled: (deviceGroup: string) => Promise<boolean>;
  clock: Clock;
  log: Log;
}>;

/** The change that a plan makes of what is stored: a whole new entity, or none. */
export type Planned<E> = Readonly<
  /** `detail`: the change in words for the audit log; absent: the action. */
  | { kind: "write"; entity: E; action: Exclude<ChangeAction, "delete">; detail?: string }
  | { kind: "delete" }
  /** Nothing is written, and no revision is given. */
  | { kind: "keep" }
>;

/** The stored state: the newest revision, a tombstone included, and the entity, its secret values sealed, unless it is deleted. */
export type Current<E> = Readonly<{ stored: StoredEntity | undefined; entity: E | undefined }>;

/** An entity after a write, at its revision, as it is answered. */
export type Written<E> = Readonly<{ entity: E; wrote: boolean }>;

/** Writes entities of one kind by compare-and-set. No secret value is stored unsealed, or answered. */
export class EntityWriter<E extends Entity> {
  readonly type: EntityType<E>;
  readonly deps: EntityDeps;
  readonly #writer: ConditionalWriter<StoredEntity, EntityWrite>;

  constructor(type: EntityType<E>, deps: EntityDeps) {
    const { kind } = type;
    const { configStore } = deps;
    this.type = type;
    this.deps = deps;
    const target = {
      kind,
      get: (name: string, signal: AbortSignal) => configStore.get({ kind, name }, { signal }),
      write: (write: EntityWrite, signal: AbortSignal) => configStore.write(write, signal),
      announce: ({ write }: PlannedWrite<EntityWrite>) => this.#announce(write),
    };
    this.#writer = new ConditionalWriter(target, deps.clock);
  }

  /**
   * Plans a change of what is stored, and stores it. `plan` may be called several times, and throws what is wrong with the change. Rejects as
   * ConditionalWriter.write does.
   */
  async write(request: WriteRequest, plan: (current: Current<E>) => Promise<Planned<E>> | Planned<E>): Promise<Written<E>> {
    const { stored, wrote } = await this.#writer.write(request, async (known, stamp) => {
      const entity = known === undefined || known.deleted ? undefined : sealedEntityOf(this.type, known);
      return this.#plannedWrite(stamp, entity, await plan({ stored: known, entity }));
    });
    return { entity: entityOf(this.type, stored), wrote };
  }

  /** The only place that encodes an entity: its bytes are what is stored. */
  #plannedWrite(stamp: Stamp, before: E | undefined, planned: Planned<E>): PlannedWrite<EntityWrite> | undefined {
    const { type } = this;
    if (planned.kind === "keep") return undefined;
    if (planned.kind === "delete") {
      if (before === undefined) throw new NebulaError("internal", "a delete of nothing was planned");
      const write = { ...stamp, kind: type.kind, deleted: true, action: "delete" as const, body: type.encode(before) };
      return { write, detail: "delete" };
    }
    const { entity, action, detail = action } = planned;
    entity.revision = stamp.revision;
    const secrets = type.secrets(entity);
    if (secrets !== undefined) sealSecretEnvVars(this.deps.secretKeys, secrets.owner, secrets.values);
    const members = type.members(entity);
    const write = { ...stamp, kind: type.kind, deleted: false, action, body: type.encode(entity), ...(members === undefined ? {} : { members }) };
    return { write, detail };
  }

  #announce({ kind, name, revision, action, changedBy: by }: EntityWrite): void {
    this.deps.configCache.invalidate({ kind, name }, revision);
    this.deps.changeFeed.publish({ kind: "entity", entity: { kind, name }, revision }); // not awaited: it is a hint
    this.deps.log.info({ kind, name, revision: String(revision), action, by }, "entity changed");
  }
}
