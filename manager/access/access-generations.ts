/**
 * The access stamp of the store as this process knows it: generations, each of which lasts as long as one stamp.
 *
 * N1 The stamp is read every `everyMs`, and when the feed names a subject or had a gap: one read in flight, what is
 *    named meanwhile merged, at most ten reads a second.
 * N2 A new stamp is a new generation; so is the first one read, as credentials may have been verified before it.
 * N3 A named subject is passed on at once, also under an unchanged stamp: the end of a rotated token renews none.
 * N4 While the stamp can't be read the generation lasts.
 * N5 `isNamedSince` knows of the subjects named since a mark; of those that it forgot (it keeps MOST_SUBJECTS) it says
 *    yes.
 * N6 The stamp says nothing of sessions, which any user makes and ends. So those that open streams have are due to be
 *    read every `everyMs`, and after a gap; the name of one wakes no read of the stamp.
 */
import { BoundedMap } from "../../common/bounded-map.ts";
import type { Clock } from "../../common/clock/clock.ts";
import { messageOf } from "../../common/errors/nebula-error.ts";
import type { ChangeFeed } from "../../common/feed/change-feed.ts";
import type { Log } from "../../common/log/log.ts";
import type { AccessStore } from "../../common/storage/access-store.ts";

const MOST_SUBJECTS = 1000;
const LEAST_BETWEEN_READS_MS = 100;

/** With which the subjects of sessions begin. */
const SESSION_SUBJECT = "session/";

export type AccessGenerationsDeps = Readonly<{
  accessStore: Pick<AccessStore, "stamp">;
  changeFeed: Pick<ChangeFeed, "subscribe">;
  clock: Clock;
  log: Log;
  everyMs: number;
  signal: AbortSignal;
}>;

export type AccessListener = {
  /** A subject was named on the feed: `user/<name>`, `user_group/<name>`, `device/<id>`, ... */
  named?(subject: string): void;
  /** A new generation began. */
  began?(): void;
  /** The sessions that open streams have are due to be read again (N6). */
  sessionsDue?(): void;
};

/** A moment in the order of what was named. */
export type AccessMark = Readonly<{ generation: number; named: number }>;

export class AccessGenerations {
  readonly #deps: AccessGenerationsDeps;
  readonly #listeners: AccessListener[] = [];
  #generation = 0;
  #stamp: string | undefined;
  /** Counts what was named: a stamp that was being read meanwhile may be from before. */
  #named = 0;
  /** The number under which a subject was named last, oldest first. */
  readonly #namedAt = new BoundedMap<string, number>(MOST_SUBJECTS, (number) => {
    this.#forgotten = number;
  });
  /** N5: the highest number that was forgotten. */
  #forgotten = 0;
  /** N6, on the monotonic clock. */
  #sessionsDueAt: number;
  #down = false;
  #wake = new AbortController();
  /** Resolves when the signal was aborted and the store is not being read any more. */
  readonly done: Promise<void>;

  /** Runs until the signal is aborted. */
  constructor(deps: AccessGenerationsDeps) {
    this.#deps = deps;
    this.#sessionsDueAt = deps.clock.monotonic() + deps.everyMs;
    const subscription = deps.changeFeed.subscribe((event) => {
      if (event.kind === "access") this.#onNamed(event.subject);
      else if (event.kind === "gap") this.#onGap();
    });
    deps.signal.addEventListener("abort", () => subscription[Symbol.dispose](), { once: true });
    this.done = this.#run();
  }

  get current(): number {
    return this.#generation;
  }

  /** Now, for `isNamedSince` and to compare generations. */
  mark(): AccessMark {
    return { generation: this.#generation, named: this.#named };
  }

  /** Whether one of these subjects was named after the mark. */
  isNamedSince({ named }: AccessMark, subjects: readonly string[]): boolean {
    if (named < this.#forgotten) return true; // N5
    return subjects.some((subject) => (this.#namedAt.get(subject) ?? 0) > named);
  }

  listen(listener: AccessListener): void {
    this.#listeners.push(listener);
  }

  #onNamed(subject: string): void {
    this.#named++;
    this.#namedAt.set(subject, this.#named);
    for (const listener of this.#listeners) listener.named?.(subject); // N3
    if (!subject.startsWith(SESSION_SUBJECT)) this.#wake.abort(); // N6
  }

  /** Any subject may have been named. */
  #onGap(): void {
    this.#named++;
    this.#forgotten = this.#named;
    this.#sessionsDueAt = this.#deps.clock.monotonic();
    this.#wake.abort();
  }

  async #run(): Promise<void> {
    const { clock, everyMs, signal } = this.#deps;
    const pause = (ms: number, until: AbortSignal) => clock.sleep(ms, until).catch(() => {});
    while (!signal.aborted) {
      this.#wake = new AbortController();
      await this.#read();
      this.#announceSessions();
      await pause(LEAST_BETWEEN_READS_MS, signal); // N1
      const leftMs = Math.max(0, this.#sessionsDueAt - clock.monotonic()); // N6: what was named meanwhile must not put it off
      await pause(Math.min(everyMs, leftMs), AbortSignal.any([signal, this.#wake.signal]));
    }
  }

  /** N6 */
  #announceSessions(): void {
    const { clock, everyMs } = this.#deps;
    if (clock.monotonic() < this.#sessionsDueAt) return;
    this.#sessionsDueAt = clock.monotonic() + everyMs;
    for (const listener of this.#listeners) listener.sessionsDue?.();
  }

  async #read(): Promise<void> {
    const { accessStore, log, signal } = this.#deps;
    try {
      const stamp = await accessStore.stamp(signal);
      if (this.#down) log.info("the access store answers again");
      this.#down = false;
      if (stamp !== this.#stamp) this.#begin(stamp);
    } catch (error) {
      if (signal.aborted) return;
      if (!this.#down)
        log.warn({ error: messageOf(error) }, "the access store does not answer: known credentials stay valid meanwhile, for up to an hour");
      this.#down = true; // N4
    }
  }

  #begin(stamp: string): void {
    this.#stamp = stamp;
    this.#generation++; // N2
    for (const listener of this.#listeners) listener.began?.();
  }
}
