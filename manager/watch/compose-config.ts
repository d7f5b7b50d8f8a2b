import { create, fromBinary } from "@bufbuild/protobuf";
import type { ConfigStore, EntityKey, StoredEntity } from "../../common/storage/config-store.ts";
import { AppSchema } from "../../gen/nebula/v1/app_pb.ts";
import { type AppEntry, AppEntrySchema, type Config, ConfigSchema, type CronJobEntry, CronJobEntrySchema } from "../../gen/nebula/v1/config_pb.ts";
import { CronJobSchema } from "../../gen/nebula/v1/cron_job_pb.ts";
import { DeviceGroupSchema } from "../../gen/nebula/v1/device_group_pb.ts";

/** An entity that a config was made from, with the revision that was read. */
export type MadeFrom = Readonly<EntityKey & { revision: bigint }>;

export type Composed = Readonly<
  | { kind: "config"; config: Config /** Shards that share the group's devices, at least 1. */; spread: number; madeFrom: readonly MadeFrom[] }
  /** Never existed (revision 0), or deleted. */
  | { kind: "no_such_group"; madeFrom: readonly [MadeFrom] }
>;

export type ComposeOptions = Readonly<{
  /** Members that need not be read, by name. */
  known?: Readonly<{ apps: ReadonlyMap<string, AppEntry>; cronJobs: ReadonlyMap<string, CronJobEntry> }> | undefined;
  /** Called with each member that was read, which it may change; known ones are left as they are. */
  onRead?: (entry: AppEntry | CronJobEntry) => void;
  /** A revision of the group that was announced. */
  atLeast?: bigint;
}>;

/**
 * Reads what the devices of a group should run, secret values as they are stored (config-secrets.ts): the group first, then its members, so that no member is
 * older than the group's list of them (R2).
 */
export async function composeConfig(store: ConfigStore, name: string, { known, onRead, atLeast }: ComposeOptions = {}): Promise<Composed> {
  const stored = await store.get({ kind: "device_group", name }, { atLeast });
  const self: MadeFrom = { kind: "device_group", name, revision: stored?.revision ?? 0n };
  if (stored === undefined || stored.deleted) return { kind: "no_such_group", madeFrom: [self] };
  const group = fromBinary(DeviceGroupSchema, stored.body);
  const [apps, cronJobs] = await Promise.all([
    readMissing(store, "app", group.apps, known?.apps),
    readMissing(store, "cron_job", group.cronJobs, known?.cronJobs),
  ]);
  const read = <Entry extends AppEntry | CronJobEntry>(entry: Entry): Entry => {
    onRead?.(entry);
    return entry;
  };
  const config = create(ConfigSchema, {
    cluster: { id: store.cluster.id, epoch: store.cluster.epoch },
    deviceGroup: name,
    groupRevision: stored.revision,
    pruneId: group.pruneId,
    apps: group.apps.map((member) => known?.apps.get(member) ?? read(appEntry(member, apps.get(member)))),
    cronJobs: group.cronJobs.map((member) => known?.cronJobs.get(member) ?? read(cronJobEntry(member, cronJobs.get(member)))),
  });
  return { kind: "config", config, spread: Math.max(1, group.spread), madeFrom: madeFrom(config) };
}

async function readMissing(
  store: ConfigStore,
  kind: "app" | "cron_job",
  names: readonly string[],
  known: ReadonlyMap<string, unknown> | undefined,
): Promise<ReadonlyMap<string, StoredEntity>> {
  const missing = known === undefined ? names : names.filter((name) => !known.has(name));
  return missing.length === 0 ? new Map() : store.getMany(kind, missing);
}

/** One member of groups, as a config lists it. */
export type Member = Readonly<{ kind: "app"; entry: AppEntry } | { kind: "cron_job"; entry: CronJobEntry }>;

/** Reads one app or cron_job alone. */
export async function readMember(store: ConfigStore, key: EntityKey & { kind: "app" | "cron_job" }, atLeast: bigint): Promise<Member> {
  const stored = await store.get(key, { atLeast });
  return key.kind === "app" ? { kind: "app", entry: appEntry(key.name, stored) } : { kind: "cron_job", entry: cronJobEntry(key.name, stored) };
}

/** Every entity that a config was made from. */
export function madeFrom(config: Config): readonly MadeFrom[] {
  return [
    { kind: "device_group", name: config.deviceGroup, revision: config.groupRevision },
    ...config.apps.map(({ name, revision }): MadeFrom => ({ kind: "app", name, revision })),
    ...config.cronJobs.map(({ name, revision }): MadeFrom => ({ kind: "cron_job", name, revision })),
  ];
}

/** R2: what is deleted, or never existed, is listed all the same. */
function appEntry(name: string, stored: StoredEntity | undefined): AppEntry {
  const entry = create(AppEntrySchema, { name, revision: stored?.revision ?? 0n });
  if (stored === undefined || stored.deleted) return entry;
  entry.app = fromBinary(AppSchema, stored.body);
  entry.app.revision = stored.revision;
  return entry;
}

function cronJobEntry(name: string, stored: StoredEntity | undefined): CronJobEntry {
  const entry = create(CronJobEntrySchema, { name, revision: stored?.revision ?? 0n });
  if (stored === undefined || stored.deleted) return entry;
  entry.cronJob = fromBinary(CronJobSchema, stored.body);
  entry.cronJob.revision = stored.revision;
  return entry;
}
