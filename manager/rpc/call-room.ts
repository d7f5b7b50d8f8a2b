/**
 * Room for calls, so that a fleet that starts against a slow store does not pile up work that nobody waits for any more.
 *
 * Q1 At most `atOnce` calls are handled at a time, in the order in which they came; at most `waiting` more wait.
 * Q2 A call beyond that, and one that waited for WAIT_MS, is refused with `unavailable` and a waiting time: its caller comes back later.
 * Q3 A caller that goes away while waiting makes room for another.
 */
import { Counter, Gauge, type Registry } from "prom-client";
import type { Clock } from "../../common/clock/clock.ts";
import { NebulaError } from "../../common/errors/nebula-error.ts";

/** Q2, milliseconds. */
export const WAIT_MS = 10_000;
const LOOK_EVERY_MS = 500;
/** The waiting time of a refused caller is drawn between this and twice that, milliseconds. */
const RETRY_MS = 5000;

export type CallRoomOptions = Readonly<{ clock: Clock; atOnce: number; waiting: number; signal: AbortSignal }>;

type Waiter = { readonly since: number; readonly begin: () => void; readonly refuse: (error: NebulaError) => void };

export class CallRoom {
  readonly #options: CallRoomOptions;
  /** In the order of their coming. */
  readonly #waiters = new Set<Waiter>();
  #running = 0;
  #refused = 0;
  #looking = false;

  constructor(options: CallRoomOptions) {
    this.#options = options;
  }

  /** Calls that are handled now. */
  get running(): number {
    return this.#running;
  }

  get waiting(): number {
    return this.#waiters.size;
  }

  /** Calls that were refused so far. */
  get refused(): number {
    return this.#refused;
  }

  /** Does the work when there is room. Rejects as the work does, with `unavailable` (Q2), or with the reason of the signal when that is aborted before it began. */
  async run<T>(work: () => Promise<T>, signal: AbortSignal): Promise<T> {
    if (this.#running < this.#options.atOnce && this.#waiters.size === 0) this.#running++;
    else await this.#wait(signal);
    try {
      return await work();
    } finally {
      this.#running--;
      this.#next();
    }
  }

  #wait(signal: AbortSignal): Promise<void> {
    if (this.#waiters.size >= this.#options.waiting) return Promise.reject(this.#refusal("too many calls wait already"));
    return new Promise((resolve, reject) => {
      const leave = () => {
        this.#waiters.delete(waiter);
        signal.removeEventListener("abort", onAbort);
      };
      const onAbort = () => {
        leave(); // Q3
        reject(signal.reason);
      };
      const waiter: Waiter = {
        since: this.#options.clock.monotonic(),
        begin: () => {
          leave();
          this.#running++;
          resolve();
        },
        refuse: (error) => {
          leave();
          reject(error);
        },
      };
      if (signal.aborted) return reject(signal.reason);
      signal.addEventListener("abort", onAbort);
      this.#waiters.add(waiter);
      if (!this.#looking) void this.#look();
    });
  }

  #next(): void {
    if (this.#running >= this.#options.atOnce) return;
    const [first] = this.#waiters;
    first?.begin();
  }

  /** Q2: looks for calls that waited for too long, as long as any waits. */
  async #look(): Promise<void> {
    const { clock, signal } = this.#options;
    this.#looking = true;
    while (this.#waiters.size > 0 && !signal.aborted) {
      await clock.sleep(LOOK_EVERY_MS, signal).catch(() => {});
      for (const waiter of this.#waiters) {
        if (clock.monotonic() - waiter.since < WAIT_MS) break;
        waiter.refuse(this.#refusal(`the call waited for ${WAIT_MS / 1000} s`));
      }
    }
    this.#looking = false;
  }

  #refusal(why: string): NebulaError {
    this.#refused++;
    return new NebulaError("unavailable", `this manager has more to do than it can: ${why}; call again later`, {
      retryAfterMs: RETRY_MS * (1 + Math.random()),
    });
  }
}

/** Shows the rooms of a manager by name in its metrics. */
export function showCallRooms(registry: Registry, rooms: Readonly<Record<string, Pick<CallRoom, "running" | "waiting" | "refused">>>): void {
  const options = { labelNames: ["room"], registers: [registry] };
  new Gauge({
    name: "nebula_calls",
    help: "Calls that are handled, or wait for that.",
    ...options,
    labelNames: ["room", "state"],
    collect() {
      for (const [room, { running, waiting }] of Object.entries(rooms)) {
        this.set({ room, state: "running" }, running);
        this.set({ room, state: "waiting" }, waiting);
      }
    },
  });
  new Counter({
    name: "nebula_calls_refused_total",
    help: "Calls that were refused, since too many waited, or they waited for too long.",
    ...options,
    collect() {
      this.reset();
      for (const [room, { refused }] of Object.entries(rooms)) this.inc({ room }, refused);
    },
  });
}
