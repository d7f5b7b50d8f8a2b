import type { Clock } from "../clock/clock.ts";
import type { Lease, LeaseTable } from "../membership/lease.ts";
import type { HintMetrics } from "../metrics/hint-metrics.ts";
import type { Commands } from "./commands.ts";
import type { HintSeal } from "./hint-seal.ts";

/**
 * Leases, and bytes of all of them, that are read; more than any fleet of shards has, and no more than a reader can
 * hold.
 */
const MOST_LEASES = 2000;
const MOST_BYTES = 4 * 1024 * 1024;
/**
 * A value that does not open is removed when it was there unchanged for as long, milliseconds: another version of
 * Nebula may have written it.
 */
const GARBAGE_MS = 60_000;

export type RedisLeasesOptions = Readonly<{ commands: Commands; seal: HintSeal; clock: Clock; metrics: HintMetrics }>;

/** Leases in one hash, a field for each shard's name, each sealed for its name. */
export function createRedisLeases({ commands, seal, clock, metrics }: RedisLeasesOptions): LeaseTable {
  const key = `${seal.prefix}leases`;
  let garbage = new Map<string, { value: Buffer; since: number }>();

  /** A hash that somebody else filled is emptied before it is read: each shard writes its lease again within 3 s. */
  async function removeFlood(): Promise<void> {
    const [leases, bytes] = await commands.run(
      (client) => Promise.all([client.hlen(key), client.memory("USAGE", key).catch(() => 0)]), // not each server, or login, has MEMORY
    );
    if (leases <= MOST_LEASES && Number(bytes ?? 0) <= MOST_BYTES) return;
    metrics.rejected("lease");
    await commands.run((client) => client.del(key));
  }

  async function removeGarbage(found: ReadonlyMap<string, Buffer>): Promise<void> {
    const now = clock.monotonic();
    const next = new Map<string, { value: Buffer; since: number }>();
    for (const [name, value] of found) {
      const known = garbage.get(name);
      next.set(name, known?.value.equals(value) ? known : { value, since: now });
    }
    garbage = next;
    const old = [...garbage].filter(([, { since }]) => now - since >= GARBAGE_MS).map(([name]) => name);
    if (old.length > 0) await commands.run((client) => client.hdel(key, ...old));
  }

  return {
    async read() {
      await removeFlood();
      const stored = await commands.run((client) => client.hgetallBuffer(key));
      const leases = new Map<string, Lease>();
      const unreadable = new Map<string, Buffer>();
      for (const [name, value] of Object.entries(stored)) {
        const lease = decode(name, seal.open(`lease/${name}`, value)?.payload);
        if (lease !== undefined) leases.set(name, lease);
        else {
          metrics.rejected("lease");
          unreadable.set(name, value);
        }
      }
      await removeGarbage(unreadable);
      return leases;
    },
    async write(lease) {
      await commands.run((client) => client.hset(key, lease.name, seal.seal(`lease/${lease.name}`, Buffer.from(JSON.stringify(lease)))));
    },
    async remove(names) {
      await commands.run((client) => client.hdel(key, ...names));
    },
  };
}

/** undefined: it does not open, or another version wrote it in another form. */
function decode(name: string, payload: Buffer | undefined): Lease | undefined {
  try {
    const lease: Lease | undefined = payload === undefined ? undefined : JSON.parse(payload.toString());
    return lease?.name === name && Number.isSafeInteger(lease.count) ? lease : undefined;
  } catch {
    return undefined;
  }
}
