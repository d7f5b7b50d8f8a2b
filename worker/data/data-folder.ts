import { join } from "node:path";
import type { MergedState } from "../../common/config/merged-state.ts";
import { restoreMergedState, storeMergedState } from "../../common/config/stored-merged-state.ts";
import { isNebulaError, messageOf, NebulaError } from "../../common/errors/nebula-error.ts";
import type { Log } from "../../common/log/log.ts";
import type { KeptMemory } from "../plan/memory/memory.ts";
import { type DeviceToken, restoreDeviceToken, storeDeviceToken } from "./device-token.ts";
import { restoreMemory, storeMemory } from "./stored-memory.ts";
import { LastGoodFile, type SaveOutcome } from "./whole-file.ts";

/** The newest accepted config, merged, and the etag that is held with it; empty: none. */
export type LastGoodConfig = Readonly<{
  state: MergedState;
  etag: string;
  /** Ids of the clusters that this data folder followed or took over, that of the state included; the newest last. */
  followed: readonly string[];
}>;

/** The data that a worker finds at its start. */
export type Loaded = Readonly<{
  config: LastGoodConfig | undefined;
  memory: KeptMemory | undefined;
  deviceId: string | undefined;
  deviceToken: DeviceToken | undefined;
}>;

/** The data that a worker keeps in its folder, each kind in a file of its own: a config changes seldom, what is remembered of pulls often. */
export interface LastGood {
  readonly loaded: Loaded;
  /** Whether a config is being written: that on the disk is an older one. */
  readonly isSavingConfig: boolean;
  /** Why something is not on the disk; undefined: all is. */
  readonly failure: string | undefined;
  /** None of these rejects: a disk that is full or read-only is reported by the outcome. */
  saveConfig(config: LastGoodConfig): Promise<SaveOutcome>;
  saveMemory(memory: KeptMemory): Promise<SaveOutcome>;
  saveDeviceId(deviceId: string): Promise<SaveOutcome>;
  saveDeviceToken(token: DeviceToken): Promise<SaveOutcome>;
  /** Tries again what could not be saved. */
  saveAgain(): Promise<SaveOutcome>;
}

/** The files of a worker in its data folder. */
export const DATA_FILES = { config: "last-good.json", memory: "memory.json", deviceToken: "device-token.json", deviceId: "device-id" } as const;

/** The format in which files are written, and the newest that is read. */
const FORMAT = 1;

/**
 * Reads what is in a data folder. Rejects only with `failed_precondition`, for a file in a newer format: a downgrade
 * must not cost the device its identity. A file that cannot be read, or is damaged, is logged, set aside, and done
 * without.
 */
export async function openLastGood(folder: string, log: Log): Promise<LastGood> {
  const files = {
    config: new LastGoodFile(join(folder, DATA_FILES.config)),
    memory: new LastGoodFile(join(folder, DATA_FILES.memory)),
    deviceId: new LastGoodFile(join(folder, DATA_FILES.deviceId)),
    deviceToken: new LastGoodFile(join(folder, DATA_FILES.deviceToken)),
  };
  const loaded: Loaded = {
    config: await load(files.config, "last good config", log, (text) => readConfig(jsonOf(text, files.config))),
    memory: await load(files.memory, "memory", log, (text) => readMemory(jsonOf(text, files.memory))),
    deviceId: await load(files.deviceId, "device id", log, (text) => text.trim() || undefined),
    deviceToken: await load(files.deviceToken, "device token", log, (text) => readDeviceToken(jsonOf(text, files.deviceToken))),
  };
  return new Folder(files, loaded);
}

type Files = Readonly<Record<keyof Loaded, LastGoodFile>>;

class Folder implements LastGood {
  readonly loaded: Loaded;
  readonly #files: Files;

  constructor(files: Files, loaded: Loaded) {
    this.#files = files;
    this.loaded = loaded;
  }

  get isSavingConfig(): boolean {
    return this.#files.config.isSaving;
  }

  get failure(): string | undefined {
    return Object.values(this.#files).find((file) => file.failure !== undefined)?.failure;
  }

  saveConfig({ state, etag, followed }: LastGoodConfig): Promise<SaveOutcome> {
    return this.#files.config.save(JSON.stringify({ format: FORMAT, etag, followed, state: storeMergedState(state) }));
  }

  saveMemory(memory: KeptMemory): Promise<SaveOutcome> {
    return this.#files.memory.save(JSON.stringify({ format: FORMAT, memory: storeMemory(memory) }));
  }

  saveDeviceId(deviceId: string): Promise<SaveOutcome> {
    return this.#files.deviceId.save(`${deviceId}\n`);
  }

  saveDeviceToken(token: DeviceToken): Promise<SaveOutcome> {
    return this.#files.deviceToken.save(JSON.stringify({ format: FORMAT, token: storeDeviceToken(token) }));
  }

  async saveAgain(): Promise<SaveOutcome> {
    const outcomes = await Promise.all(Object.values(this.#files).map((file) => file.saveAgain()));
    return outcomes.find(({ kind }) => kind === "not_saved") ?? { kind: "saved" };
  }
}

async function load<T>(file: LastGoodFile, what: string, log: Log, parse: (text: string) => T | undefined): Promise<T | undefined> {
  let text: string | undefined;
  try {
    text = await file.read();
  } catch (error) {
    log.error({ reason: messageOf(error) }, `the ${what} can't be read; going on without`);
    return undefined;
  }
  if (text === undefined) return undefined;
  try {
    const parsed = parse(text);
    if (parsed !== undefined) return parsed;
  } catch (error) {
    if (isNebulaError(error, "failed_precondition")) throw error;
    // not even JSON: damaged
  }
  log.error({ bytes: text.length }, `the ${what} on the disk makes no sense; it is set aside, going on without`);
  await file.setAside().catch((error) => log.warn({ reason: messageOf(error) }, `the damaged ${what} can't be set aside`));
  return undefined;
}

/** The JSON in a file. Throws `failed_precondition` for a newer format. */
function jsonOf(text: string, { path }: LastGoodFile): unknown {
  const value: unknown = JSON.parse(text);
  const format = typeof value === "object" && value !== null && "format" in value ? value.format : undefined;
  if (typeof format !== "number" || format <= FORMAT) return value;
  throw new NebulaError(
    "failed_precondition",
    `invalid data file "${path}": it has format ${format}, and this worker reads formats up to ${FORMAT}; use the version that wrote it, or a newer one`,
  );
}

function readConfig(value: unknown): LastGoodConfig | undefined {
  if (typeof value !== "object" || value === null || !("format" in value) || value.format !== FORMAT || !("state" in value)) return undefined;
  const state = restoreMergedState(value.state);
  const etag = "etag" in value && typeof value.etag === "string" ? value.etag : "";
  if (state === undefined) return undefined;
  const ids: readonly unknown[] = "followed" in value && Array.isArray(value.followed) ? value.followed : [];
  const followed = ids.filter((id) => typeof id === "string");
  return { state, etag, followed: followed.includes(state.cluster.id) ? followed : [...followed, state.cluster.id] };
}

function readMemory(value: unknown): KeptMemory | undefined {
  if (typeof value !== "object" || value === null || !("format" in value) || value.format !== FORMAT || !("memory" in value)) return undefined;
  return restoreMemory(value.memory);
}

function readDeviceToken(value: unknown): DeviceToken | undefined {
  if (typeof value !== "object" || value === null || !("format" in value) || value.format !== FORMAT || !("token" in value)) return undefined;
  return restoreDeviceToken(value.token);
}
