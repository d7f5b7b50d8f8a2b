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

/** Reads what the devices of a group should run, secret values as they are stored (config-secrets.ts): the group first, then its members, so that no member is older than the group's list of them (R2). */
export async function composeConfig(store: ConfigStore, name: string): Promise<Composed> {
  const stored = await store.get({ kind: "device_group", name });
  const self: MadeFrom = { kind: "device_group", name, revision: stored?.revision ?? 0n };
  if (stored === undefined || stored.deleted) return { kind: "no_such_group", madeFrom: [self] };
  const group = fromBinary(DeviceGroupSchema, stored.body);
  const [apps, cronJobs] = await Promise.all([store.getMany("app", group.apps), store.getMany("cron_job", group.cronJobs)]);
  const config = create(ConfigSchema, {
    cluster: { id: store.cluster.id, epoch: store.cluster.epoch },
    deviceGroup: name,
    groupRevision: stored.revision,
    pruneId: group.pruneId,
    apps: group.apps.map((member) => appEntry(member, apps.get(member))),
    cronJobs: group.cronJobs.map((member) => cronJobEntry(member, cronJobs.get(member))),
  });
  return { kind: "config", config, spread: Math.max(1, group.spread), madeFrom: madeFrom(config) };
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
