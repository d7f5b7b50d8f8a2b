/**
 * The config of a device_group: what its devices should run, composed from the store, with its secret values opened for devices or masked for all others.
 *
 * R2 No member of a config is older than the group's list of members: the group is read first. A member that is deleted, or never existed, is listed all the
 *    same, without a spec.
 */
import { clone, create, fromBinary } from "@bufbuild/protobuf";
import { maskSecretEnvVars, openSecretEnvVars, type SecretEnvVars, type SecretOwner } from "../../common/secrets/secret-env-vars.ts";
import type { SecretKeys } from "../../common/secrets/secret-keys.ts";
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
  /** Members that are known already and not read, by name. */
  known?: Readonly<{ apps: ReadonlyMap<string, AppEntry>; cronJobs: ReadonlyMap<string, CronJobEntry> }> | undefined;
  /** Called with each member that was read, which it may change; not called with known ones. */
  onRead?: (entry: AppEntry | CronJobEntry) => void;
  /** A revision of the group that was announced. */
  atLeast?: bigint;
  signal?: AbortSignal | undefined;
}>;

/** Reads the config of a group, with its secret values as they are stored (R2). */
export async function composeConfig(
  store: Pick<ConfigStore, "get" | "getMany" | "cluster">,
  name: string,
  { known, onRead, atLeast, signal }: ComposeOptions = {},
): Promise<Composed> {
  const stored = await store.get({ kind: "device_group", name }, { atLeast, signal });
  const self: MadeFrom = { kind: "device_group", name, revision: stored?.revision ?? 0n };
  if (stored === undefined || stored.deleted) return { kind: "no_such_group", madeFrom: [self] };
  const group = fromBinary(DeviceGroupSchema, stored.body);
  const [apps, cronJobs] = await Promise.all([
    readMissing(store, "app", group.apps, known?.apps, signal),
    readMissing(store, "cron_job", group.cronJobs, known?.cronJobs, signal),
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
  store: Pick<ConfigStore, "getMany">,
  kind: "app" | "cron_job",
  names: readonly string[],
  known: ReadonlyMap<string, unknown> | undefined,
  signal: AbortSignal | undefined,
): Promise<ReadonlyMap<string, StoredEntity>> {
  const missing = known === undefined ? names : names.filter((name) => !known.has(name));
  return missing.length === 0 ? new Map() : store.getMany(kind, missing, { signal });
}

/** One member of groups, as a config lists it. */
export type Member = Readonly<{ kind: "app"; entry: AppEntry } | { kind: "cron_job"; entry: CronJobEntry }>;

/** Reads one app or cron_job alone. */
export async function readMember(
  store: ConfigStore,
  key: EntityKey & { kind: "app" | "cron_job" },
  options: { atLeast: bigint; signal: AbortSignal },
): Promise<Member> {
  const stored = await store.get(key, options);
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

/** R2 */
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

// --- secret values

/**
 * Returns the config as devices get it: with its secret values opened, in a copy if it has any.
 * Throws `failed_precondition` if one cannot be opened: a device that got the app without it would re-create its containers without the secret.
 */
export function openedConfig(keys: SecretKeys, config: Config): Config {
  if (secretsOf(config).every(({ values }) => Object.keys(values).length === 0)) return config;
  const opened = clone(ConfigSchema, config);
  for (const { owner, values } of secretsOf(opened)) openSecretEnvVars(keys, owner, values);
  return opened;
}

/** Opens the secret values of one member, in place. Throws `failed_precondition` if one cannot be opened. */
export function openSecretsOf(keys: SecretKeys, entry: Pick<AppEntry, "app"> | Pick<CronJobEntry, "cronJob">): void {
  const owned = "app" in entry ? ownedBy("app", entry.app) : "cronJob" in entry ? ownedBy("cron_job", entry.cronJob) : undefined;
  if (owned !== undefined) openSecretEnvVars(keys, owned.owner, owned.values);
}

/** Returns a copy of the config with masks in place of its secret values, for all readers but devices. */
export function maskedConfig(config: Config): Config {
  const masked = clone(ConfigSchema, config);
  for (const { values } of secretsOf(masked)) maskSecretEnvVars(values);
  return masked;
}

type Owned = Readonly<{ owner: SecretOwner; values: SecretEnvVars }>;

function secretsOf({ apps, cronJobs }: Config): readonly Owned[] {
  const owned = [...apps.map(({ app }) => ownedBy("app", app)), ...cronJobs.map(({ cronJob }) => ownedBy("cron_job", cronJob))];
  return owned.filter((one) => one !== undefined);
}

/** Returns undefined for a member without a spec. */
function ownedBy(kind: SecretOwner["kind"], member: { name: string; secretEnvVars: SecretEnvVars } | undefined): Owned | undefined {
  return member === undefined ? undefined : { owner: { kind, name: member.name }, values: member.secretEnvVars };
}

// --- size

/** Bytes above which a config is served with a warning. */
const LARGE_CONFIG = 1024 * 1024;

/** Returns the warning about a config of this many bytes; undefined if it is small enough. */
export function configSizeWarning(bytes: number): string | undefined {
  if (bytes <= LARGE_CONFIG) return undefined;
  const size = (bytes / LARGE_CONFIG).toFixed(1);
  return `the config is ${size} MiB, and every change sends all of it to every device of the group; keep it below 1 MiB`;
}
