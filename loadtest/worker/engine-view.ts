import { systemClock } from "../../common/clock/system-clock.ts";
import { silentLog } from "../../common/log/log.ts";
import type { ContainerRuntime } from "../../worker/runtime/container-runtime.ts";
import { openRuntime } from "../../worker/runtime/open-runtime.ts";

const INSTANCE_LABEL = "nebula.instance";
const REVISION_LABEL = "nebula.id";
const APP_LABEL = "app_name";

/** A container that was started. */
export type Started = Readonly<{ app: string; revision: bigint /** Milliseconds since 1970, by the engine's clock. */; at: number }>;

/** The containers of one instance on an engine: sees them start, counts them, and removes them all when disposed of. */
export class EngineView implements AsyncDisposable {
  readonly #runtime: ContainerRuntime;
  readonly #instance: string;
  readonly #life = new AbortController();
  readonly #listeners = new Set<(started: Started) => void>();

  private constructor(runtime: ContainerRuntime, instance: string) {
    this.#runtime = runtime;
    this.#instance = instance;
  }

  /** @param url of the engine, as NEBULA_RUNTIME names it. Rejects with `unavailable` when none answers */
  static async open(url: string, instance: string, signal: AbortSignal): Promise<EngineView> {
    const runtime = await openRuntime(url, { clock: systemClock, log: silentLog });
    const view = new EngineView(runtime, instance);
    try {
      await runtime.info(signal);
    } catch (error) {
      await runtime[Symbol.asyncDispose]();
      throw error;
    }
    void view.#follow();
    return view;
  }

  async #follow(): Promise<void> {
    try {
      for await (const { action, labels, at } of this.#runtime.events(this.#life.signal)) {
        if (action !== "start" || labels[INSTANCE_LABEL] !== this.#instance) continue;
        const started = { app: labels[APP_LABEL] ?? "", revision: BigInt(labels[REVISION_LABEL] ?? 0), at };
        for (const listener of this.#listeners) listener(started);
      }
    } catch {
      // the waiter for a start says that it did not come
    }
  }

  /** Resolves when a container of the app is started that was made for this revision or a newer one. */
  async started(app: string, revision: bigint, signal: AbortSignal): Promise<Started> {
    signal.throwIfAborted();
    const { promise, resolve, reject } = Promise.withResolvers<Started>();
    const onStarted = (started: Started) => {
      if (started.app === app && started.revision >= revision) resolve(started);
    };
    const onAbort = () => reject(signal.reason);
    this.#listeners.add(onStarted);
    signal.addEventListener("abort", onAbort);
    try {
      return await promise;
    } finally {
      this.#listeners.delete(onStarted);
      signal.removeEventListener("abort", onAbort);
    }
  }

  /** How many containers of the instance run. */
  async running(signal: AbortSignal): Promise<number> {
    return (await this.#own(signal)).filter(({ phase }) => phase === "running").length;
  }

  async #own(signal: AbortSignal) {
    return (await this.#runtime.listContainers(signal)).filter(({ labels }) => labels[INSTANCE_LABEL] === this.#instance);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const { signal } = new AbortController(); // the bench's own may be aborted: this is still to be done
    for (const { id } of await this.#own(signal)) await this.#runtime.remove(id, { force: true }, signal);
    this.#life.abort();
    await this.#runtime[Symbol.asyncDispose]();
  }
}
