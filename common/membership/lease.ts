import { LEASE_MS } from "./membership.ts";

/** The record of a shard under its name, which all shards read. */
export type Lease = Readonly<{
  name: string;
  address: string;
  boot: string;
  /** Rises with every renewal. */
  count: number;
  /** `joining`: it asks whether the name is free. `left`: it gave the lease back. */
  state: "joining" | "member" | "left";
  impaired?: true;
  /** Wall clock of this shard when it joined: of two live shards with one name the later one ends. */
  since: number;
  /** The boot of another shard whose lease was found under this name: proves to that shard that this one lives. */
  rival?: string;
}>;

/**
 * Leases by the names of the shards, in a backend that others may write to. Methods reject within a second if it does
 * not answer; reads leave out values that are not a lease under its name.
 */
export type LeaseTable = Readonly<{
  read(): Promise<ReadonlyMap<string, Lease>>;
  write(lease: Lease): Promise<void>;
  remove(names: readonly string[]): Promise<void>;
}>;

/**
 * The longest time between two reads that counts against a lease, milliseconds: a standstill of the reader says
 * nothing about the others.
 */
const MOST_STEP_MS = LEASE_MS / 2;
/** A lease that was not renewed for this time is removed, milliseconds. */
const REMOVED_AFTER_MS = 6 * LEASE_MS;
/** The most names, and boots that ended, that are remembered; the oldest are evicted. */
const MOST_REMEMBERED = 1000;

type Seen = { lease: Lease; risen: boolean; stillMs: number; next: { lease: Lease; risen: boolean } | undefined };

/**
 * The live leases as one reader sees them by repeated reads. Time is the monotonic clock of the reader, and only time
 * between two good reads counts: no clock of another machine, and no outage, ends a lease.
 *
 * L1 A lease lives while its count rises within LEASE_MS; before this reader saw it rise it does not live. So a copy of
 *    an earlier lease revives no shard.
 * L2 Where another boot holds the name, the one that was seen living counts until it stands still for LEASE_MS or has
 *    left.
 * L3 A boot that left, or whose name another one took over, never lives again.
 */
export class SeenLeases {
  readonly #seen = new Map<string, Seen>();
  readonly #ended = new Set<string>();
  #readAt: number | undefined;
  #names: ReadonlySet<string> = new Set();

  /** Notes a good read. `now` is monotonic, milliseconds. Returns the number of leases that repeat earlier ones. */
  observe(leases: ReadonlyMap<string, Lease>, now: number): number {
    const passed = this.#readAt === undefined ? 0 : Math.min(now - this.#readAt, MOST_STEP_MS);
    this.#readAt = now;
    this.#names = new Set(leases.keys());
    let repeats = 0;
    for (const [name, seen] of this.#seen) {
      const found = leases.get(name);
      const isSame = found?.boot === seen.lease.boot;
      if (!isSame || !rises(seen, found)) seen.stillMs += passed;
      if (isSame && found.count < seen.lease.count) repeats++;
      if (seen.stillMs >= LEASE_MS) seen.risen = false; // L1
      if (found !== undefined && !isSame) repeats += this.#noteOther(seen, found);
      this.#takeOver(name, seen);
    }
    for (const [name, lease] of leases) {
      if (this.#seen.has(name)) continue;
      if (this.#ended.has(lease.boot)) repeats++;
      else this.#seen.set(name, { lease, risen: false, stillMs: 0, next: undefined });
    }
    this.#forgetOldest();
    return repeats;
  }

  /** Notes a read that failed: the time until the next good one does not count. */
  failed(): void {
    this.#readAt = undefined;
  }

  /** The leases of live members, by name. */
  get live(): readonly Lease[] {
    const live = [...this.#seen.values()].filter(({ lease, risen }) => risen && lease.state === "member").map(({ lease }) => lease);
    return live.sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  /** Whether this reader saw a boot give its lease back, or lose its name. */
  hasEnded(boot: string): boolean {
    return this.#ended.has(boot);
  }

  /** Whether this reader saw a boot live. */
  isLive(boot: string): boolean {
    return [...this.#seen.values()].some(
      ({ lease, risen, next }) => (risen && lease.boot === boot) || (next?.risen === true && next.lease.boot === boot),
    );
  }

  /** Names whose lease in the table can be removed. */
  get removable(): readonly string[] {
    const still = [...this.#seen].filter(([name, { stillMs, next }]) => this.#names.has(name) && stillMs >= REMOVED_AFTER_MS && next?.risen !== true);
    return still.map(([name]) => name);
  }

  #noteOther(seen: Seen, found: Lease): number {
    if (this.#ended.has(found.boot)) return 1; // L3
    const { next } = seen;
    if (next?.lease.boot !== found.boot) seen.next = { lease: found, risen: false };
    else if (found.count > next.lease.count)
      seen.next = { lease: found, risen: true }; // L1
    else if (found.count < next.lease.count) return 1;
    return 0;
  }

  #takeOver(name: string, seen: Seen): void {
    const { lease, next } = seen;
    const left = lease.state === "left";
    if (left) seen.risen = false;
    const followed = next !== undefined && (left || (next.risen && !seen.risen)); // L2
    if (left || followed) this.#end(lease.boot); // L3
    if (followed) this.#seen.set(name, { ...next, stillMs: 0, next: undefined });
  }

  #end(boot: string): void {
    this.#ended.add(boot);
    for (const oldest of this.#ended) {
      if (this.#ended.size <= MOST_REMEMBERED) break;
      this.#ended.delete(oldest);
    }
  }

  #forgetOldest(): void {
    for (const [name, { risen }] of this.#seen) {
      if (this.#seen.size <= MOST_REMEMBERED) break;
      if (!risen) this.#seen.delete(name);
    }
  }
}

/** Updates the entry of the same boot from a read lease; returns whether its count rose. */
function rises(seen: Seen, found: Lease): boolean {
  if (found.count <= seen.lease.count) return false;
  seen.lease = found;
  seen.risen = true; // L1
  seen.stillMs = 0;
  return true;
}
