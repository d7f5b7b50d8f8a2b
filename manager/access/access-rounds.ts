/**
 * What credentials may do, as far as this process knows that it is what it was: rounds, each of which lasts as long as the access stamp of the store.
 *
 * N1 The stamp is read every `everyMs`, and at once when the feed says that access changed: one read at a time, however many devices there are.
 * N2 A new stamp is a new round; so is the first one read, as credentials may have been verified before it.
 * N3 Who was named on the feed is told with the new round, also where the stamp is read after several were named; at most MOST_SUBJECTS.
 * N4 Where the stamp can't be read the round goes on, and every credential in it, for OUTAGE_MS; then `lost` is told, until it is read again.
 */
import type { Clock } from "../../common/clock/clock.ts";
import { messageOf } from "../../common/errors/nebula-error.ts";
import type { ChangeFeed } from "../../common/feed/change-feed.ts";
import type { Log } from "../../common/log/log.ts";
import type { AccessStore } from "../../common/storage/access-store.ts";

const MOST_SUBJECTS = 1000;
const OUTAGE_MS = 60 * 60_000;

export type AccessRoundsDeps = Readonly<{
  accessStore: Pick<AccessStore, "stamp">;
  changeFeed: Pick<ChangeFeed, "subscribe">;
  clock: Clock;
  log: Log;
  everyMs: number;
  signal: AbortSignal;
}>;

export type RoundListener = {
  /** @param subjects who was named on the feed since the round before: `user/<name>`, `device/<id>`, ...; maybe not all */
  began(subjects: ReadonlySet<string>): void;
  /** Nothing was heard of the store for so long that no credential may be taken as valid any more. */
  lost(): void;
};

export class AccessRounds {
  readonly #deps: AccessRoundsDeps;
  readonly #listeners: RoundListener[] = [];
  #round = 0;
  #stamp: string | undefined;
  #subjects = new Set<string>();
  /** Counts what was named: a stamp that was being read meanwhile may be from before. */
  #named = 0;
  #readAt: number;
  #down = false;
  #wake = new AbortController();
  /** Resolves when the signal was aborted and the store is not being read any more. */
  readonly done: Promise<void>;

  /** Runs until the signal is aborted. */
  constructor(deps: AccessRoundsDeps) {
    this.#deps = deps;
    this.#readAt = deps.clock.monotonic();
    const subscription = deps.changeFeed.subscribe((event) => {
      if (event.kind === "access") this.#onNamed(event.subject);
    });
    deps.signal.addEventListener("abort", () => subscription[Symbol.dispose](), { once: true });
    this.done = this.#run();
  }

  get current(): number {
    return this.#round;
  }

  listen(listener: RoundListener): void {
    this.#listeners.push(listener);
  }

  #onNamed(subject: string): void {
    if (this.#subjects.size < MOST_SUBJECTS) this.#subjects.add(subject); // N3
    this.#named++;
    this.#wake.abort();
  }

  async #run(): Promise<void> {
    const { clock, everyMs, signal } = this.#deps;
    while (!signal.aborted) {
      const named = this.#named;
      await this.#read();
      if (this.#named !== named) continue; // N1: named while it was read
      this.#wake = new AbortController();
      await clock.sleep(everyMs, AbortSignal.any([signal, this.#wake.signal])).catch(() => {});
    }
  }

  async #read(): Promise<void> {
    const { accessStore, clock, log } = this.#deps;
    try {
      const stamp = await accessStore.stamp();
      if (this.#down) log.info("the access store answers again");
      this.#down = false;
      this.#readAt = clock.monotonic();
      if (stamp !== this.#stamp) this.#begin(stamp);
    } catch (error) {
      if (!this.#down)
        log.warn({ error: messageOf(error) }, "the access store does not answer: known credentials stay valid meanwhile, for up to an hour");
      this.#down = true;
      if (clock.monotonic() - this.#readAt > OUTAGE_MS) for (const listener of this.#listeners) listener.lost(); // N4
    }
  }

  #begin(stamp: string): void {
    this.#stamp = stamp;
    this.#round++; // N2
    const subjects = this.#subjects;
    this.#subjects = new Set();
    for (const listener of this.#listeners) listener.began(subjects);
  }
}
