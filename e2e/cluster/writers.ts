import { setTimeout as delay } from "node:timers/promises";
import type { ConfigStore } from "../../common/storage/config-store.ts";
import { eventually } from "../../common/testing/eventually.ts";
import { type Operation, violationsOf } from "../harness/linearizability.ts";
import { type AppDoor, historyOf } from "./app-door.ts";

export type WritersOptions = Readonly<{
  /** Each writer uses one of them after the other. */
  doors: readonly AppDoor[];
  /** The apps, and how many writers change each of them at a time. */
  apps: readonly string[];
  writersPerApp: number;
  /** The mean of the time between two changes of a writer, milliseconds. */
  pauseMs: number;
}>;

/** How long the history of an app may take to be read, milliseconds. */
const READ_MS = 30_000;

/** Writers that change apps again and again, faults or not, until they are paused; what each was answered is kept until it was checked. */
export class Writers {
  readonly #options: WritersOptions;
  readonly #calls = new Map<string, Operation[]>();
  /** The newest revision of an app that was checked. */
  readonly #checked = new Map<string, bigint>();
  #turn = 0;
  #running: Readonly<{ stop: AbortController; ended: Promise<unknown> }> | undefined;

  constructor(options: WritersOptions) {
    this.#options = options;
    for (const app of options.apps) this.#calls.set(app, []);
  }

  start(): void {
    if (this.#running !== undefined) return;
    const stop = new AbortController();
    const { apps, writersPerApp } = this.#options;
    const ended = Promise.all(apps.flatMap((app) => Array.from({ length: writersPerApp }, (_, index) => this.#write(app, index, stop.signal))));
    ended.catch(() => {}); // pause() rejects with it
    this.#running = { stop, ended };
  }

  /** Resolves when no call is under way. */
  async pause(): Promise<void> {
    const running = this.#running;
    this.#running = undefined;
    running?.stop.abort();
    await running?.ended;
  }

  /** How many writers there are: as many calls are under way at most. */
  get count(): number {
    return this.#options.apps.length * this.#options.writersPerApp;
  }

  /** How many changes were acknowledged since the last check. */
  get acknowledged(): number {
    return [...this.#calls.values()].flat().filter(({ kind }) => kind === "written").length;
  }

  /**
   * Holds what was answered since the last check against the store's history, and says each contradiction: an acknowledged write that is lost, a revision
   * that was given twice, a read of another state. Answers the newest revision of each app as well. For a time when the writers are paused.
   */
  async check(store: Pick<ConfigStore, "history">): Promise<Readonly<{ violations: readonly string[]; newest: ReadonlyMap<string, bigint> }>> {
    const violations: string[] = [];
    const newest = new Map<string, bigint>();
    for (const [app, calls] of this.#calls) {
      const from = this.#checked.get(app) ?? 0n;
      const history = await eventually(() => historyOf(store, app), { timeoutMs: READ_MS, everyMs: 500 }); // the store may have come back just now
      const rows = history.filter(({ revision }) => revision >= from);
      violations.push(...violationsOf(rows, calls).map((each) => `${app}: ${each}`));
      const last = rows.reduce((highest, { revision }) => (revision > highest ? revision : highest), 0n);
      newest.set(app, last);
      this.#checked.set(app, last);
      // a write whose outcome is unknown may still be stored
      const settled = new Set(rows.map(({ writer }) => writer));
      this.#calls.set(
        app,
        calls.filter((call) => call.kind === "unknown" && !settled.has(call.writer)),
      );
    }
    return { violations, newest };
  }

  async #write(app: string, index: number, signal: AbortSignal): Promise<void> {
    const { doors, pauseMs } = this.#options;
    const client = `${app}/${index}`;
    let known: bigint | undefined;
    while (!signal.aborted) {
      const turn = this.#turn++;
      const door = doors[turn % doors.length];
      if (door === undefined) throw new Error("writers need a door");
      const [begin, by] = [performance.now(), `${client} by ${door.name}`];
      if (known === undefined) {
        const version = await door.read(app).catch(() => undefined);
        known = version?.revision;
        if (version !== undefined) this.#calls.get(app)?.push({ client: by, begin, end: performance.now(), kind: "read", ...version });
      } else {
        const writer = `${client}/${turn}`;
        const outcome = await door.change(app, known, writer);
        const call = { client: by, begin, end: performance.now(), writer, expected: known };
        this.#calls
          .get(app)
          ?.push(outcome.kind === "written" ? { ...call, kind: "written", revision: outcome.revision } : { ...call, kind: outcome.kind });
        known = outcome.kind === "written" ? outcome.revision : undefined;
      }
      await delay(2 * pauseMs * Math.random(), undefined, { signal }).catch(() => {});
    }
  }
}
