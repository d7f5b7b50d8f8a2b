import { NebulaError } from "../errors/nebula-error.ts";
import type { Lease, LeaseTable } from "../membership/lease.ts";

/** The leases of several memberships of one test. */
export class MemoryLeases {
  readonly stored = new Map<string, Lease>();
  /** Whether nobody reaches it. */
  isDown = false;
  /** Whether it answers nothing, and refuses no call: a call of it ends when this ends. */
  #hanging: Promise<void> | undefined;

  /** One end of it. `cut` cuts this end off alone. */
  end(): LeaseTable & { cut: boolean } {
    const ask = async () => {
      await this.#hanging;
      if (this.isDown || table.cut) throw new NebulaError("unavailable", "the leases can't be reached");
    };
    const table = {
      cut: false,
      read: async () => {
        await ask();
        return new Map(this.stored);
      },
      write: async (lease: Lease) => {
        await ask();
        this.stored.set(lease.name, lease);
      },
      remove: async (names: readonly string[]) => {
        await ask();
        for (const name of names) this.stored.delete(name);
      },
    };
    return table;
  }

  /** Has every call wait until the answer is called. */
  hang(): () => void {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#hanging = promise;
    return () => {
      this.#hanging = undefined;
      resolve();
    };
  }
}
