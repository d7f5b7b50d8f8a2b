/**
 * Which groups are to be looked up, and when.
 *
 * W3 One load per group at a time; a hint during it starts another after it.
 * L1 At most `width` loads run at once, and the event loop has its turn between two loads: a change of an app that very many groups name
 *    delays nobody's connection.
 */
import { setImmediate as turn } from "node:timers/promises";

type Wanted = { fresh: boolean };

export class LoadQueue<Group> {
  readonly #load: (group: Group, fresh: boolean) => Promise<void>;
  readonly #width: number;
  readonly #waiting = new Map<Group, Wanted>();
  /** What runs, and what was asked for during that. */
  readonly #running = new Map<Group, { again: Wanted | undefined }>();
  #lanes = 0;

  /** @param load looks one group up; it handles its own failures @param width loads at once */
  constructor(load: (group: Group, fresh: boolean) => Promise<void>, width: number) {
    this.#load = load;
    this.#width = width;
  }

  /** Has a group looked up. @param fresh from the store, whatever a cache says */
  want(group: Group, fresh: boolean): void {
    const running = this.#running.get(group);
    if (running !== undefined) {
      running.again = { fresh: fresh || (running.again?.fresh ?? false) }; // W3
      return;
    }
    this.#waiting.set(group, { fresh: fresh || (this.#waiting.get(group)?.fresh ?? false) });
    if (this.#lanes < this.#width) void this.#lane(); // L1
  }

  /** Something changed while it is not known yet what the loads that run are made from: each is followed by another (W3). */
  repeatRunning(): void {
    for (const running of this.#running.values()) running.again = { fresh: true };
  }

  async #lane(): Promise<void> {
    this.#lanes++;
    for (;;) {
      const next = this.#waiting.entries().next().value;
      if (next === undefined) break;
      const [group, { fresh }] = next;
      this.#waiting.delete(group);
      const state: { again: Wanted | undefined } = { again: undefined };
      this.#running.set(group, state);
      await this.#load(group, fresh);
      this.#running.delete(group);
      if (state.again !== undefined) this.want(group, state.again.fresh); // W3
      await turn(); // L1
    }
    this.#lanes--;
  }
}
