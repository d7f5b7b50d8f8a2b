/**
 * Expensive work, a few pieces at a time, shared fairly between the networks of the callers.
 *
 * B1 At most `atOnce` pieces are under way, and none waits while fewer are.
 * B2 At most `waiting` pieces of unknown callers wait; those of addresses that failed leave `kept` of these places to
 *    addresses that did not.
 * B3 Where no place is left, the newest piece of the network with the most waiting pieces makes room, unless the network
 *    of the newcomer has the same number or one fewer.
 * B4 Pieces of known callers are next. Of the others, two of addresses that did not fail are followed by one of those
 *    that did, where both wait; networks of each sort take turns, and the pieces of one network run in their order.
 * B5 A caller who leaves while waiting makes room for another.
 */
import { NebulaError } from "../errors/nebula-error.ts";

/** `known`: a caller who is logged in; `clean`: an address without failures; `failed`: one with failures, or with other attempts under way. */
export type Standing = "known" | "clean" | "failed";

/** The caller of a piece of work. */
export type WorkFor = Readonly<{ standing: Standing; network: string }>;

export type WorkBounds = Readonly<{
  /** The work in words, for the message: "password checks". */
  what: string;
  atOnce: number;
  waiting: number;
  kept: number;
}>;

/** Pieces of callers who are logged in: they run before all others. */
export const FOR_KNOWN_CALLER: WorkFor = { standing: "known", network: "" };

/** The retry time of a refusal, milliseconds. */
const RETRY_MS = 1000;
/** B4 */
const CLEAN_PER_FAILED = 2;

type Piece = Readonly<{ begin: () => void; refuse: () => void }>;

/** Waiting pieces by network; the network that is next comes first. */
class Line {
  readonly #byNetwork = new Map<string, Piece[]>();
  size = 0;

  add(network: string, piece: Piece): void {
    const pieces = this.#byNetwork.get(network);
    if (pieces === undefined) this.#byNetwork.set(network, [piece]);
    else pieces.push(piece);
    this.size++;
  }

  remove(network: string, piece: Piece): void {
    const pieces = this.#byNetwork.get(network);
    const at = pieces?.indexOf(piece) ?? -1;
    if (pieces === undefined || at === -1) return;
    pieces.splice(at, 1);
    if (pieces.length === 0) this.#byNetwork.delete(network);
    this.size--;
  }

  /** Takes out the oldest piece of the network whose turn it is. */
  take(): Piece | undefined {
    for (const [network, pieces] of this.#byNetwork) {
      const piece = pieces.shift();
      this.#byNetwork.delete(network);
      if (pieces.length > 0) this.#byNetwork.set(network, pieces); // behind the others
      this.size--;
      return piece;
    }
    return undefined;
  }

  /** Takes out the newest piece of the network with the most of them; undefined if it would have fewer than the newcomer's then (B3). */
  displaceFor(newcomer: string): Piece | undefined {
    let fullest: [network: string, pieces: Piece[]] | undefined;
    for (const entry of this.#byNetwork) if (fullest === undefined || entry[1].length > fullest[1].length) fullest = entry;
    if (fullest === undefined || fullest[1].length < (this.#byNetwork.get(newcomer)?.length ?? 0) + 2) return undefined;
    this.size--;
    return fullest[1].pop();
  }
}

export class FairWork {
  readonly #bounds: WorkBounds;
  readonly #lines: Readonly<Record<Standing, Line>> = { known: new Line(), clean: new Line(), failed: new Line() };
  #running = 0;
  /** Pieces of clean addresses that began since the last one of an address that failed. */
  #cleanInARow = 0;

  constructor(bounds: WorkBounds) {
    this.#bounds = bounds;
  }

  /** Runs the work in its turn. Rejects with the reason of the signal if it is aborted first, and with `resource_exhausted` if too many wait. */
  async run<T>(work: () => Promise<T>, workFor: WorkFor, signal?: AbortSignal): Promise<T> {
    signal?.throwIfAborted();
    await this.#turn(workFor, signal);
    try {
      return await work();
    } finally {
      this.#next();
    }
  }

  async #turn(workFor: WorkFor, signal: AbortSignal | undefined): Promise<void> {
    if (this.#running < this.#bounds.atOnce) {
      this.#running++; // B1
      return;
    }
    this.#makeRoom(workFor);
    const { standing, network } = workFor;
    await new Promise<void>((resolve, reject) => {
      const settle = (how: () => void) => () => {
        signal?.removeEventListener("abort", leave);
        how();
      };
      const piece = { begin: settle(resolve), refuse: settle(() => reject(this.#refusal())) };
      const leave = () => {
        this.#lines[standing].remove(network, piece); // B5
        reject(signal?.reason);
      };
      signal?.addEventListener("abort", leave, { once: true });
      this.#lines[standing].add(network, piece);
    });
  }

  /** Returns when there is a place for another piece; throws if no place can be given (B2, B3). */
  #makeRoom({ standing, network }: WorkFor): void {
    const { known, clean, failed } = this.#lines;
    const { waiting, kept } = this.#bounds;
    const hasRoom = standing === "known" ? known.size < waiting : clean.size + failed.size < waiting;
    if (hasRoom && (standing !== "failed" || failed.size < waiting - kept)) return;
    const displaced = this.#lines[standing].displaceFor(network);
    if (displaced === undefined) throw this.#refusal();
    displaced.refuse();
  }

  /** Passes the place to the next piece, or frees it. */
  #next(): void {
    const { known, clean, failed } = this.#lines;
    const isTurnOfFailed = failed.size > 0 && (clean.size === 0 || this.#cleanInARow >= CLEAN_PER_FAILED);
    const line = known.size > 0 ? known : isTurnOfFailed ? failed : clean; // B4
    const piece = line.take();
    if (line === clean) this.#cleanInARow++;
    else if (line === failed) this.#cleanInARow = 0;
    if (piece === undefined) this.#running--;
    else piece.begin();
  }

  #refusal(): NebulaError {
    return new NebulaError("resource_exhausted", `too many ${this.#bounds.what} wait: try again in ${RETRY_MS / 1000} s`, { retryAfterMs: RETRY_MS });
  }
}
