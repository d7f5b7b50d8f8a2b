import type { Violation } from "../errors/nebula-error.ts";

/** Below this the kernel refuses the quota. */
const FEWEST_CPUS = 0.01;
/** The most that Linux counts. */
const MOST_CPUS = 8192;
/** Docker's own lower bound, megabytes. */
const LEAST_MEMORY_MB = 6;
/** A day, seconds. A stop that waits longer than that is a mistake in the unit. */
const LONGEST_GRACE = 86_400;

export type LimitFields = Readonly<{ cpus: number; memoryLimitMb: number; stopGraceSeconds?: number | undefined }>;

/** Cores, memory, and the time to stop. */
export function validateLimits({ cpus, memoryLimitMb, stopGraceSeconds }: LimitFields): Violation[] {
  const violations: Violation[] = [];
  if (cpus !== 0 && !(cpus >= FEWEST_CPUS && cpus <= MOST_CPUS)) {
    violations.push({ field: "cpus", description: `${cpus} is no number of cores; ${FEWEST_CPUS} to ${MOST_CPUS}, or 0 for no limit, would do` });
  }
  if (memoryLimitMb > 0 && memoryLimitMb < LEAST_MEMORY_MB) {
    violations.push({
      field: "memory_limit_mb",
      description: `${memoryLimitMb} MB is too little; at least ${LEAST_MEMORY_MB}, or 0 for no limit, would do`,
    });
  }
  if (stopGraceSeconds !== undefined && stopGraceSeconds > LONGEST_GRACE) {
    violations.push({
      field: "stop_grace_seconds",
      description: `${stopGraceSeconds} seconds are too long; at most ${LONGEST_GRACE} (a day) would do`,
    });
  }
  return violations;
}
