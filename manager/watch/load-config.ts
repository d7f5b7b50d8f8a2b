/**
 * The config of one group, as it is loaded whole, loaded again after a change of the group, and patched after a change of one member.
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
import { type Composed, type ComposeOptions, composeConfig, type MadeFrom, type Member, madeFrom, readMember } from "./compose-config.ts";
import { openSecretsOf } from "./config-secrets.ts";
import { configAnswer, NO_SUCH_GROUP, type WatchAnswer } from "./watch-answer.ts";

/** What a group's devices are sent now, and what it was made from. */
export type LoadedConfig = Readonly<{
  answer: WatchAnswer;
  spread: number;
  madeFrom: readonly MadeFrom[];
  /** What was ever seen of the group here (R3); undefined: there never was such a group. */
  merged: MergedState | undefined;
}>;

export type LoadDeps = Readonly<{ configStore: ConfigStore; configCache: ConfigCache; secretKeys: SecretKeys }>;

export type LoadWant = Readonly<{
  /** Every member is read again, known ones too. */
  whole: boolean;
  /** The revision of the group that was announced. */
  atLeast: bigint;
}>;

/** Encodes a config, and names it by its etag. */
export function encodeConfig(config: Config): WatchAnswer {
  const bytes = encodeCanonical(ConfigSchema, config);
  return configAnswer(bytes, etagOf(bytes));
}

/**
 * Reads a group: its first load may come from the cache; a later one reads the group and its new members, or all of them.
 * Throws `failed_precondition` where a secret value can't be opened: the group's devices keep what they have.
 * @param known what was loaded before; undefined at the first load
 */
export async function readConfig(deps: LoadDeps, group: string, known: LoadedConfig | undefined, { whole, atLeast }: LoadWant): Promise<Composed> {
  const cached = known === undefined && !whole ? await fromCache(deps, group) : undefined;
  if (cached !== undefined) return cached;
  return composeConfig(deps.configStore, group, {
    known: whole ? undefined : trackedMembers(known),
    onRead: (entry) => openSecretsOf(deps.secretKeys, entry),
    atLeast,
  });
}

/** Members whose changes reach this shard: not those that left the group, whose changes nobody followed since. */
function trackedMembers(loaded: LoadedConfig | undefined): ComposeOptions["known"] {
  if (loaded?.merged === undefined || loaded.answer === NO_SUCH_GROUP) return undefined;
  const { apps, cronJobs } = configOf(loaded.merged);
  return { apps: new Map(apps.map((entry) => [entry.name, entry])), cronJobs: new Map(cronJobs.map((entry) => [entry.name, entry])) };
}

/** Reads one member, its secret values opened. Throws as `readConfig` does. */
export async function readOpened(deps: LoadDeps, key: Parameters<typeof readMember>[1], atLeast: bigint): Promise<Member> {
  const member = await readMember(deps.configStore, key, atLeast);
  openSecretsOf(deps.secretKeys, member.entry);
  return member;
}

/** A cached config serves only where it is of the store's cluster and epoch: after a restore everything before counts for nothing. */
async function fromCache({ configCache, configStore }: LoadDeps, group: string): Promise<Composed | undefined> {
  const cached = await configCache.get(group);
  if (cached === undefined) return undefined;
  const { answer } = fromBinary(WatchConfigResponseSchema, cached.bytes);
  const config = answer.case === "config" ? answer.value.config : undefined;
  const { id, epoch } = configStore.cluster;
  if (config?.cluster?.id !== id || config.cluster.epoch !== epoch) return undefined;
  return { kind: "config", config, spread: cached.spread ?? 1, madeFrom: cached.madeFrom };
}

/** Merges what was read with what is known of the group by now (R3). */
export function mergeRead(before: LoadedConfig | undefined, composed: Composed): LoadedConfig {
  if (composed.kind === "no_such_group") {
    const [{ revision }] = composed.madeFrom;
    if (before?.merged !== undefined && revision < before.merged.groupRevision) return before; // R3
    return { answer: NO_SUCH_GROUP, spread: 1, madeFrom: composed.madeFrom, merged: before?.merged };
  }
  const merged = mergeConfig(before?.merged, composed.config);
  if (merged.kind === "ignored") return before ?? fail(merged.reason);
  return { answer: encodeConfig(merged.config), spread: composed.spread, madeFrom: madeFrom(merged.config), merged: merged.state };
}

/** Puts one member into the config of a group that names it; `before` where it is not newer than what is known (R3). */
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
export function cacheLoaded({ configCache }: LoadDeps, group: string, { answer, madeFrom: from, spread }: LoadedConfig): Promise<void> {
  return answer.etag === "" ? Promise.resolve() : configCache.put(group, { bytes: answer.bytes, etag: answer.etag, madeFrom: from, spread });
}

function fail(reason: string): never {
  throw new NebulaError("internal", reason);
}
