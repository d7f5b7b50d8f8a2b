import type { Clock } from "../../../../common/clock/clock.ts";
import { NebulaError } from "../../../../common/errors/nebula-error.ts";
import { LEASE_MS, type Membership } from "../../../../common/membership/membership.ts";

/** Between two looks, milliseconds. */
const LOOK_MS = 500;
/** How long Redis may take to answer, milliseconds. */
const ANSWER_MS = 10_000;

/**
 * Resolves when no shard was seen to renew its lease for LEASE_MS, which takes that long. A membership of one process answers at once: the lock of the data
 * folder tells of its server.
 * @throws NebulaError failed_precondition naming the shards that live; unavailable where the leases can't be read
 */
export async function assertNoShardLives(
  membership: Pick<Membership, "alone" | "members" | "reachable">,
  clock: Clock,
  signal: AbortSignal,
): Promise<void> {
  if (membership.alone) return;
  const startedAt = clock.monotonic();
  for (let readableMs = 0; readableMs < LEASE_MS; ) {
    const live = membership.members().map(({ name }) => name);
    if (live.length > 0) {
      throw new NebulaError("failed_precondition", `shards run on this cluster (${live.join(", ")}): stop every manager, then run the command again`);
    }
    await clock.sleep(LOOK_MS, signal);
    if (membership.reachable) readableMs += LOOK_MS;
    else if (clock.monotonic() - startedAt >= ANSWER_MS) {
      throw new NebulaError(
        "unavailable",
        "NEBULA_REDIS does not answer, so nobody knows which shards run: start it, or stop every manager and leave NEBULA_REDIS out",
      );
    }
  }
}
