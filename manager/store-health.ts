import type { Clock } from "../common/clock/clock.ts";
import { NebulaError } from "../common/errors/nebula-error.ts";
import type { Log } from "../common/log/log.ts";
import type { ConfigStore } from "../common/storage/config-store.ts";

const LOOK_EVERY_MS = 5000;
const LOOK_LIMIT_MS = 3000;
/** Without a good read for this long a shard is impaired: another one, which may reach the store, should own its groups. */
export const IMPAIRED_AFTER_MS = 30_000;

export type StoreHealthDeps = Readonly<{
  configStore: Pick<ConfigStore, "readCluster">;
  clock: Clock;
  log: Log;
  /** Whether this shard is impaired, after each look. */
  found: (impaired: boolean) => void;
}>;

/** Whether this shard reaches its store, by a small read every 5 s. */
export class StoreHealth {
  readonly #deps: StoreHealthDeps;
  /** Since when every look failed; undefined: the last one was good. */
  #failingSince: number | undefined;
  #impaired = false;
  #read = false;

  constructor(deps: StoreHealthDeps) {
    this.#deps = deps;
  }

  /** Whether the last look was good. */
  get serving(): boolean {
    return this.#read && this.#failingSince === undefined;
  }

  /** Whether any look was good. */
  get read(): boolean {
    return this.#read;
  }

  async run(signal: AbortSignal): Promise<void> {
    const { clock } = this.#deps;
    while (!signal.aborted) {
      await this.#look(signal);
      await clock.sleep(LOOK_EVERY_MS, signal).catch(() => {});
    }
  }

  async #look(signal: AbortSignal): Promise<void> {
    const { clock, log, found } = this.#deps;
    const began = clock.monotonic();
    try {
      await this.#readInTime(signal);
      if (this.#impaired) log.info("the store answers again: this shard is well");
      this.#failingSince = undefined;
      this.#read = true;
      this.#impaired = false;
    } catch (error) {
      if (signal.aborted) return;
      this.#failingSince ??= began;
      const failingMs = clock.monotonic() - this.#failingSince;
      if (!this.#impaired && failingMs >= IMPAIRED_AFTER_MS) {
        this.#impaired = true;
        log.warn({ err: error }, "the store gave no good answer for 30 s: this shard is impaired, and owns nothing while another one is well");
      }
    }
    found(this.#impaired);
  }

  async #readInTime(signal: AbortSignal): Promise<void> {
    const limit = new AbortController();
    const both = AbortSignal.any([signal, limit.signal]);
    const late = this.#deps.clock.sleep(LOOK_LIMIT_MS, both).then(
      () => {
        const error = new NebulaError("unavailable", `the store did not answer within ${LOOK_LIMIT_MS / 1000} s`);
        limit.abort(error);
        throw error;
      },
      () => {},
    );
    const reading = this.#deps.configStore.readCluster(both);
    try {
      await Promise.race([reading, late.then(() => reading)]);
    } finally {
      limit.abort();
    }
  }
}
