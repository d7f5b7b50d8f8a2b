/**
 * The config of one watched group: loaded whole, loaded again after a change of the group, patched after a change of one member.
 *
 * R3 Nothing of it is ever older, entity by entity, than what was known of the group here.
 */
import { fromBinary } from "@bufbuild/protobuf";
import { encodeCanonical } from "../../common/config/canonical-encoding.ts";
import { etagOf } from "../../common/config/etag.ts";
import { configOf, mergeConfig } from "../../common/config/merge-config.ts";
import type { MergedState } from "../../common/config/merged-state.ts";
import { NebulaError } from "../../common/errors/nebula-error.ts";
import type { SecretKeys } from "../../common/secrets/secret-keys.ts";
import type { ConfigCache } from "../../common/storage/config-cache.ts";
import type { ConfigStore } from "../../common/storage/config-store.ts";
import { type Config, ConfigSchema, WatchConfigResponseSchema } from "../../gen/nebula/v1/config_pb.ts";
import { configAnswer, NO_SUCH_GROUP, type WatchAnswer } from "./config-answer.ts";
import {
  type Composed,
  type ComposeOptions,
  composeConfig,
  type MadeFrom,
  type Member,
  madeFrom,
  openSecretsOf,
  readMember,
} from "./group-config.ts";

/** The answer that the devices of a group get now, and the entities that it was made from. */
export type LoadedConfig = Readonly<{
  answer: WatchAnswer;
  spread: number;
  madeFrom: readonly MadeFrom[];
  /** The newest state of every member seen here so far (R3); undefined if the group never existed. */
  merged: MergedState | undefined;
}>;

export type LoadDeps = Readonly<{ configStore: ConfigStore; configCache: ConfigCache; secretKeys: SecretKeys }>;

export type LoadRequest = Readonly<{
  /** Every member is read again, known ones too. */
  whole: boolean;
  /** The announced revision of the group. */
  atLeast: bigint;
}>;

/** Encodes a config, and computes its etag. */
export function encodeConfig(config: Config): WatchAnswer {
  const bytes = encodeCanonical(ConfigSchema, config);
  return configAnswer(bytes, etagOf(bytes));
}

/**
 * Reads a group: its first load may come from the cache; a later one reads the group and its new members, or all of them.
 * Rejects with `failed_precondition` if a secret value cannot be opened: the devices of the group keep the config that they have.
 * @param known what was loaded before; undefined at the first load
 */
export async function readConfig(
  deps: LoadDeps,
  group: string,
  known: LoadedConfig | undefined,
  { whole, atLeast, signal }: LoadRequest & { signal: AbortSignal },
): Promise<Composed> {
  const cached = known === undefined && !whole ? await fromCache(deps, group) : undefined;
  if (cached !== undefined) return cached;
  return composeConfig(deps.configStore, group, {
    known: whole ? undefined : trackedMembers(known),
    onRead: (entry) => openSecretsOf(deps.secretKeys, entry),
    atLeast,
    signal,
  });
}

/** Members whose changes reach this shard. Members that left the group are not among them: their changes were not followed since. */
function trackedMembers(loaded: LoadedConfig | undefined): ComposeOptions["known"] {
  if (loaded?.merged === undefined || loaded.answer === NO_SUCH_GROUP) return undefined;
  const { apps, cronJobs } = configOf(loaded.merged);
  return { apps: new Map(apps.map((entry) => [entry.name, entry])), cronJobs: new Map(cronJobs.map((entry) => [entry.name, entry])) };
}

/** Reads one member and opens its secret values. Rejects as `readConfig` does. */
export async function readOpened(deps: LoadDeps, key: Parameters<typeof readMember>[1], options: Parameters<typeof readMember>[2]): Promise<Member> {
  const member = await readMember(deps.configStore, key, options);
  openSecretsOf(deps.secretKeys, member.entry);
  return member;
}

/** Returns the cached config if it is of the cluster and epoch of the store: after a restore older configs are not valid. */
async function fromCache({ configCache, configStore }: LoadDeps, group: string): Promise<Composed | undefined> {
  const cached = await configCache.get(group);
  if (cached === undefined) return undefined;
  const { answer } = fromBinary(WatchConfigResponseSchema, cached.bytes);
  const config = answer.case === "config" ? answer.value.config : undefined;
  const { id, epoch } = configStore.cluster;
  if (config?.cluster?.id !== id || config.cluster.epoch !== epoch) return undefined;
  return { kind: "config", config, spread: cached.spread ?? 1, madeFrom: cached.madeFrom };
}

/** Merges a config that was read with what is known of the group (R3). Throws `unavailable` if a member that returns is older than it was when it left. */
export function mergeRead(before: LoadedConfig | undefined, composed: Composed): LoadedConfig {
  if (composed.kind === "no_such_group") {
    const [{ revision }] = composed.madeFrom;
    if (before?.merged !== undefined && revision < before.merged.groupRevision) return before; // R3
    return { answer: NO_SUCH_GROUP, spread: 1, madeFrom: composed.madeFrom, merged: before?.merged };
  }
  const merged = mergeConfig(before?.merged, composed.config);
  if (merged.kind === "ignored") return before ?? fail(merged.reason);
  if (merged.kind === "merged" && merged.unknown.length > 0) {
    throw new NebulaError("unavailable", `${merged.unknown.join(", ")}: the store answered an older revision than it had answered before`); // R3
  }
  return { answer: encodeConfig(merged.config), spread: composed.spread, madeFrom: madeFrom(merged.config), merged: merged.state };
}

/** Replaces one member in the config of a group. Returns `before` if the member is not newer than the known one (R3). */
export function patchMember(before: LoadedConfig, member: Member): LoadedConfig {
  const { merged } = before;
  if (merged === undefined || before.answer === NO_SUCH_GROUP) return before;
  const config = configOf(merged);
  const entries: { name: string; revision: bigint }[] = member.kind === "app" ? config.apps : config.cronJobs;
  const index = entries.findIndex(({ name }) => name === member.entry.name);
  if (index < 0 || (entries[index]?.revision ?? 0n) >= member.entry.revision) return before;
  entries[index] = member.entry;
  return mergeRead(before, { kind: "config", config, spread: before.spread, madeFrom: [] });
}

/** Offers a config to the cache, which other shards load from first. */
export function cacheLoaded({ configCache }: LoadDeps, group: string, { answer, madeFrom: from, spread }: LoadedConfig): void {
  if (answer.etag !== "") configCache.put(group, { bytes: answer.bytes, etag: answer.etag, madeFrom: from, spread });
}

function fail(reason: string): never {
  throw new NebulaError("internal", reason);
}
