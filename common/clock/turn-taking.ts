/**
 * Shares the event loop between a fan-out, which sends a config to very many devices, and their reports, which follow it at once and each cost several times
 * as much. Time is measured, not counted in streams or reports.
 *
 * T1 A fan-out takes one step per turn of the event loop.
 * T2 While a fan-out is in progress, what waits is released for about SLICE_MS / SHARE of work at a time, and again once the fan-out had SHARE times the time
 *    that this work took: the fan-out has at least half of the time, and what waits is never far behind.
 * T3 AT_ONCE.least pieces of work are released in MOST_TURNS turns, however dear they are: a turn costs something by itself, and so does a commit of the store.
 * T4 Without a fan-out work is not held up, and the connections that were held are read again for about CALM_MS of work per turn.
 * T5 At most MOST_REPORTS reports, of MOST_BYTES in all, wait; one more is refused. Bytes of a held connection wait in the kernel.
 * T6 Work of one kind is released in the order in which it came. Reports, which hold memory, go before connections, but of each kind that waits some work is
 *    released. Reports are stored when BATCH pieces of other work were released, or no other work waits: each commit of the store costs a sync of the disk.
 *    Where this process stores them, little more than BATCH pieces are released before that: what is released holds memory until it is stored.
 * T7 The event loop handles up to 48 times 1,024 sockets in one turn. When reports arrive in one turn for FLOOD_MS, FLOOD_HOLDS.first connections stop being read,
 *    and are read again as in T4 or T2; with each further report of the turn twice as many do, until the turn ends, and others have theirs. Not all do at once: that
 *    holds the event loop for longer than the flood where very many are read and have nothing to say.
 */
import { NebulaError } from "../errors/nebula-error.ts";
import type { Clock } from "./clock.ts";

/** How long a fan-out goes on while others wait, milliseconds of its own time. */
export const SLICE_MS = 5;
/** In times of the work that was released meanwhile. */
export const SHARE = 3;
export const MOST_TURNS = 64;
/** The event loop is held for about this long by what is released in one turn without a fan-out, milliseconds. */
export const CALM_MS = 5;
/** How long reports may arrive in one turn of the event loop, milliseconds; fewer than FLOOD_REPORTS are no flood on any machine. */
export const FLOOD_MS = 5;
export const FLOOD_REPORTS = 16;
/** Connections that stop being read at a report of a flood: `most` take some 2 ms. */
export const FLOOD_HOLDS = { first: 128, most: 1024 };
export const MOST_REPORTS = 10_000;
export const MOST_BYTES = 64 * 1024 * 1024;
/** The waiting time of a refused report is drawn between this and twice that, milliseconds. */
const RETRY_MS = 2000;

/** About as many reports as are stored at once. */
export const BATCH = 100;
/** Pieces of work that are released in one turn: fewer after a turn that took too long, more after one that did not. */
export const AT_ONCE = { least: 8, first: 16, most: 256, more: 4 };

type Waiter = { readonly bytes: number; release(): void };

export type TurnTakingOptions = Readonly<{
  clock: Pick<Clock, "monotonic">;
  /** Calls back in the next turn of the event loop; setImmediate unless given. */
  nextTurn?: (turn: () => void) => void;
}>;

export class TurnTaking {
  readonly #clock: Pick<Clock, "monotonic">;
  readonly #nextTurn: (turn: () => void) => void;
  /** In the order of their coming (T6). */
  readonly #batches = new Set<Waiter>();
  readonly #reports = new Set<Waiter>();
  readonly #connections = new Map<object, () => void>();
  #step: (() => boolean) | undefined;
  #isScheduled = false;
  /** The time that the fan-out is to have before more is released, milliseconds. */
  #owedMs = 0;
  #atOnce = AT_ONCE.first;
  #bytes = 0;
  #refused = 0;
  /** Pieces of work released in the turn before, and when that turn ended. */
  #released = 0;
  #releasedAt = 0;
  #turnsWithout = 0;
  #wasBatch = false;
  /** Pieces of other work that were released since the last batch. */
  #sinceBatch = 0;
  /** Whether a batch has waited here before. */
  #stores = false;
  #onFlood: ((most: number) => void) | undefined;
  /** When the first report of this turn arrived; undefined: none has. */
  #arrivingSince: number | undefined;
  #arrived = 0;
  /** Connections that the next report of a flood has stop being read. */
  #holds = FLOOD_HOLDS.first;

  constructor({ clock, nextTurn = setImmediate }: TurnTakingOptions) {
    this.#clock = clock;
    this.#nextTurn = nextTurn;
  }

  /** Whether a fan-out is in progress. */
  get fansOut(): boolean {
    return this.#step !== undefined;
  }

  /** Reports that wait, and connections that are not read. */
  get waiting(): Readonly<{ reports: number; connections: number }> {
    return { reports: this.#reports.size, connections: this.#connections.size };
  }

  /** Reports that were refused so far (T5). */
  get refused(): number {
    return this.#refused;
  }

  /** @param hold has some connections stop being read, and wait for their turn, those first that are likely to say something now (T7) */
  onFlood(hold: (most: number) => void): void {
    this.#onFlood = hold;
  }

  /** Begins a fan-out: `step` does a part of it, and returns whether there is more to do. There is one fan-out at a time. */
  fanOut(step: () => boolean): void {
    this.#step = step;
    this.#schedule();
  }

  /** Has a connection that has stopped reading wait for its turn. @param resume called with the connection then: it reads again */
  hold<Connection extends object>(connection: Connection, resume: (connection: Connection) => void): void {
    if (!this.#connections.has(connection)) this.#connections.set(connection, () => resume(connection));
    this.#schedule();
  }

  isHeld(connection: object | undefined): boolean {
    return connection !== undefined && this.#connections.has(connection);
  }

  /**
   * Has a report wait for its turn; undefined: it has it now. Rejects with `unavailable` and a waiting time where too much waits, and with the reason of the
   * signal where that is aborted first.
   */
  report(bytes: number, signal: AbortSignal): Promise<void> | undefined {
    this.#noteArrival();
    if (this.#step === undefined && this.#reports.size === 0) return undefined; // T4
    if (this.#reports.size >= MOST_REPORTS || this.#bytes + bytes > MOST_BYTES) return Promise.reject(this.#refusal()); // T5
    return this.#wait(this.#reports, bytes, signal);
  }

  /** Has a batch of reports that is to be stored wait for its turn, as `report` does. Of a batch there is one at a time: it is never refused. */
  batch(signal: AbortSignal): Promise<void> | undefined {
    this.#stores = true;
    const isCalm = this.#step === undefined && this.#reports.size + this.#connections.size === 0;
    return isCalm ? undefined : this.#wait(this.#batches, 0, signal);
  }

  /** T7 */
  #noteArrival(): void {
    const now = this.#clock.monotonic();
    if (this.#arrivingSince === undefined) {
      this.#arrivingSince = now;
      this.#arrived = 1;
      this.#holds = FLOOD_HOLDS.first;
      this.#nextTurn(() => {
        this.#arrivingSince = undefined;
      });
    } else if (++this.#arrived >= FLOOD_REPORTS && now - this.#arrivingSince >= FLOOD_MS) {
      this.#onFlood?.(this.#holds);
      this.#holds = Math.min(FLOOD_HOLDS.most, 2 * this.#holds);
    }
  }

  #wait(queue: Set<Waiter>, bytes: number, signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal.aborted) return reject(signal.reason);
      const leave = () => {
        queue.delete(waiter);
        this.#bytes -= bytes;
        signal.removeEventListener("abort", onAbort);
      };
      const onAbort = () => {
        leave();
        reject(signal.reason);
      };
      const waiter: Waiter = {
        bytes,
        release: () => {
          leave();
          resolve();
        },
      };
      signal.addEventListener("abort", onAbort);
      queue.add(waiter);
      this.#bytes += bytes;
      this.#schedule();
    });
  }

  #refusal(): NebulaError {
    this.#refused++;
    const why = `this manager sends configs, and ${this.#reports.size} reports wait`;
    return new NebulaError("unavailable", `${why}: send the newest report again later`, { retryAfterMs: RETRY_MS * (1 + Math.random()) });
  }

  get #isIdle(): boolean {
    // Work that was released last is measured a turn later, or the time until the next fan-out would count as its own.
    return this.#step === undefined && this.#released + this.#batches.size + this.#reports.size + this.#connections.size === 0;
  }

  #schedule(): void {
    if (this.#isScheduled || this.#isIdle) return;
    this.#isScheduled = true;
    this.#nextTurn(() => this.#turn());
  }

  #turn(): void {
    this.#isScheduled = false;
    const began = this.#clock.monotonic();
    this.#measure(began);
    if (this.#step !== undefined && !this.#step()) this.#step = undefined; // T1
    const stepped = this.#clock.monotonic();
    this.#owedMs = this.#step === undefined ? 0 : Math.max(0, this.#owedMs - (stepped - began));
    if (this.#owedMs === 0 || ++this.#turnsWithout >= MOST_TURNS) this.#release(); // T2, T3, T4
    this.#releasedAt = this.#clock.monotonic();
    this.#schedule();
  }

  /** Notes how long the work took that the turn before has released. */
  #measure(now: number): void {
    if (this.#released === 0) return;
    const tookMs = now - this.#releasedAt;
    this.#owedMs += SHARE * tookMs; // T2
    if (!this.#wasBatch) {
      const { least, most, more } = AT_ONCE;
      if (tookMs > (this.#step === undefined ? CALM_MS : SLICE_MS / SHARE)) this.#atOnce = Math.max(least, Math.floor(this.#atOnce / 2));
      else if (this.#released >= this.#atOnce) this.#atOnce = Math.min(most, this.#atOnce + more);
    }
    this.#released = 0;
  }

  /** T6 */
  #release(): void {
    const others = this.#reports.size + this.#connections.size;
    const [batch] = this.#batches;
    this.#wasBatch = batch !== undefined && (this.#sinceBatch >= BATCH || others === 0);
    if (batch !== undefined && this.#wasBatch) {
      batch.release();
      this.#released = 1;
      this.#sinceBatch = 0;
    } else {
      const most = this.#stores ? Math.min(this.#atOnce, Math.max(AT_ONCE.least, BATCH - this.#sinceBatch)) : this.#atOnce;
      this.#releaseFrom(this.#reports.values(), this.#connections.size === 0 ? most : most - 1, (report) => report.release());
      this.#releaseFrom(this.#connections, most - this.#released, ([connection, resume]) => {
        this.#connections.delete(connection);
        resume();
      });
      this.#sinceBatch += this.#released;
    }
    if (this.#released > 0) this.#turnsWithout = 0;
  }

  #releaseFrom<Item>(waiting: Iterable<Item>, most: number, release: (item: Item) => void): void {
    let left = most;
    for (const item of waiting) {
      if (left-- === 0) return;
      release(item);
      this.#released++;
    }
  }
}
