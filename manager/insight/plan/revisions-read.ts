import { isNebulaError } from "../../../common/errors/nebula-error.ts";
import { openSecretEnvVars } from "../../../common/secrets/secret-env-vars.ts";
import type { SecretKeys } from "../../../common/secrets/secret-keys.ts";
import type { ConfigStore, StoredEntity } from "../../../common/storage/config-store.ts";
import type { App } from "../../../gen/nebula/v1/app_pb.ts";
import type { Report } from "../../../gen/nebula/v1/report_pb.ts";
import { APP, sealedEntityOf } from "../../entities/entity-type.ts";
import type { Bodies } from "./known-device.ts";

/** Pages of the history of one app that are read for the revisions that devices report, and revisions of a page. */
const MOST_PAGES = 3;
const PAGE = 200;

/**
 * The revisions of apps that devices report, read from the history once they are asked for. A revision that is not kept, or whose secret values can't be opened, is
 * not known.
 */
export class RevisionsRead implements Bodies {
  readonly #store: Pick<ConfigStore, "history">;
  readonly #secretKeys: SecretKeys;
  /** By name and revision; undefined: looked for, and not there. */
  readonly #apps = new Map<string, App | undefined>();
  readonly #read = new Set<string>();
  readonly #new: ReadonlySet<string>;
  #usesDeviceId = false;

  /** @param known revisions that were read already. @param newNames apps that were never used before */
  constructor(
    { configStore, secretKeys }: Readonly<{ configStore: Pick<ConfigStore, "history">; secretKeys: SecretKeys }>,
    known: readonly StoredEntity[],
    newNames: ReadonlySet<string>,
  ) {
    this.#store = configStore;
    this.#secretKeys = secretKeys;
    this.#new = newNames;
    for (const stored of known) this.#add(stored);
  }

  app(name: string, revision: bigint): App | undefined {
    return this.#apps.get(keyOf(name, revision));
  }

  isNew(name: string): boolean {
    return this.#new.has(name);
  }

  /** Whether an app fills its device's id in, so that its spec differs from device to device. */
  get usesDeviceId(): boolean {
    return this.#usesDeviceId;
  }

  /** Reads what these reports name and is not known yet. */
  async readFor(reports: readonly Report[], signal: AbortSignal): Promise<void> {
    for (const { apps } of reports) {
      for (const { name, revision, containers } of apps) {
        const revisions = [revision, ...containers.map((container) => container.revision)].filter((each) => each > 0n);
        if (!this.#read.has(name) && revisions.some((each) => !this.#apps.has(keyOf(name, each)))) await this.#readHistory(name, signal);
      }
    }
  }

  async #readHistory(name: string, signal: AbortSignal): Promise<void> {
    this.#read.add(name);
    let before: bigint | undefined;
    for (let pages = 0; pages < MOST_PAGES; pages++) {
      const { items, next } = await this.#store.history({ kind: "app", name }, { limit: PAGE, ...(before === undefined ? {} : { before }) }, signal);
      for (const stored of items) this.#add(stored);
      if (next === undefined) return;
      before = next;
    }
  }

  #add(stored: StoredEntity): void {
    const key = keyOf(stored.name, stored.revision);
    if (this.#apps.has(key)) return;
    const app = stored.deleted ? undefined : this.#opened(stored);
    if (Object.values(app?.envVars ?? {}).some(hasDeviceId) || Object.values(app?.secretEnvVars ?? {}).some(hasDeviceId)) this.#usesDeviceId = true;
    this.#apps.set(key, app);
  }

  #opened(stored: StoredEntity): App | undefined {
    try {
      const app = sealedEntityOf(APP, stored);
      openSecretEnvVars(this.#secretKeys, { kind: "app", name: app.name }, app.secretEnvVars);
      return app;
    } catch (error) {
      if (isNebulaError(error)) return undefined;
      throw error;
    }
  }
}

function keyOf(name: string, revision: bigint): string {
  return `${revision} ${name}`;
}

function hasDeviceId(value: string): boolean {
  return value.includes("NEBULA_DEVICE_ID");
}
