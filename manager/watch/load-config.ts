import { fromBinary } from "@bufbuild/protobuf";
import { encodeCanonical } from "../../common/config/canonical-encoding.ts";
import { etagOf } from "../../common/config/etag.ts";
import { mergeConfig } from "../../common/config/merge-config.ts";
import type { MergedState } from "../../common/config/merged-state.ts";
import { NebulaError } from "../../common/errors/nebula-error.ts";
import type { SecretKeys } from "../../common/secrets/secret-keys.ts";
import type { ConfigCache } from "../../common/storage/config-cache.ts";
import type { ConfigStore } from "../../common/storage/config-store.ts";
import { type Config, ConfigSchema, WatchConfigResponseSchema } from "../../gen/nebula/v1/config_pb.ts";
import { type Composed, composeConfig, type MadeFrom, madeFrom } from "./compose-config.ts";
import { openedConfig } from "./config-secrets.ts";
import { configAnswer, NO_SUCH_GROUP, type WatchAnswer } from "./watch-answer.ts";

/** What a group's devices are told now, and what it was made from. */
export type LoadedConfig = Readonly<{
  answer: WatchAnswer;
  spread: number;
  madeFrom: readonly MadeFrom[];
  /** What was ever seen of the group here (R3); undefined: there never was such a group. */
  merged: MergedState | undefined;
}>;

export type LoadDeps = Readonly<{ configStore: ConfigStore; configCache: ConfigCache; secretKeys: SecretKeys }>;

/** Encodes a config, and names it by its etag. */
export function encodeConfig(config: Config): WatchAnswer {
  const bytes = encodeCanonical(ConfigSchema, config);
  return configAnswer(bytes, etagOf(bytes));
}

/**
 * Looks a group up. What comes out is never older, entity by entity, than `before` (R3).
 * Throws `failed_precondition` where a secret value can't be opened: the group's devices keep what they have.
 * @param fresh from the store, whatever the cache says
 */
export async function loadConfig(deps: LoadDeps, group: string, before: LoadedConfig | undefined, fresh: boolean): Promise<LoadedConfig> {
  return (fresh ? undefined : await fromCache(deps, group, before)) ?? (await fromStore(deps, group, before));
}

async function fromStore({ configStore, configCache, secretKeys }: LoadDeps, group: string, before: LoadedConfig | undefined): Promise<LoadedConfig> {
  const composed = await composeConfig(configStore, group);
  const opened = composed.kind === "config" ? { ...composed, config: openedConfig(secretKeys, composed.config) } : composed;
  const loaded = merge(opened, before);
  if (loaded.answer.etag !== "") {
    await configCache.put(group, { bytes: loaded.answer.bytes, etag: loaded.answer.etag, madeFrom: loaded.madeFrom, spread: loaded.spread });
  }
  return loaded;
}

async function fromCache({ configCache }: LoadDeps, group: string, before: LoadedConfig | undefined): Promise<LoadedConfig | undefined> {
  const cached = await configCache.get(group);
  if (cached === undefined) return undefined;
  const { answer } = fromBinary(WatchConfigResponseSchema, cached.bytes);
  const config = answer.case === "config" ? answer.value.config : undefined;
  if (config === undefined) return undefined;
  return merge({ kind: "config", config, spread: cached.spread ?? 1, madeFrom: cached.madeFrom }, before);
}

function merge(composed: Composed, before: LoadedConfig | undefined): LoadedConfig {
  if (composed.kind === "no_such_group") {
    const [{ revision }] = composed.madeFrom;
    if (before?.merged !== undefined && revision < before.merged.groupRevision) return before; // R3
    return { answer: NO_SUCH_GROUP, spread: 1, madeFrom: composed.madeFrom, merged: before?.merged };
  }
  const merged = mergeConfig(before?.merged, composed.config);
  if (merged.kind === "ignored") return before ?? fail(merged.reason);
  return { answer: encodeConfig(merged.config), spread: composed.spread, madeFrom: madeFrom(merged.config), merged: merged.state };
}

function fail(reason: string): never {
  throw new NebulaError("internal", reason);
}
