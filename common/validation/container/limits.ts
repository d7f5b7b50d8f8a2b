import type { Ulimit } from "../../../gen/nebula/v1/container_pb.ts";
import type { Violation } from "../../errors/nebula-error.ts";
import { quote } from "../../text/wording.ts";

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
    violations.push({ field: "cpus", description: `invalid number of cores "${cpus}"; use ${FEWEST_CPUS} to ${MOST_CPUS}, or 0 for no limit` });
  }
  if (memoryLimitMb > 0 && memoryLimitMb < LEAST_MEMORY_MB) {
    violations.push({
      field: "memory_limit_mb",
      description: `${memoryLimitMb} MB is too little; use at least ${LEAST_MEMORY_MB}, or 0 for no limit`,
    });
  }
  if (stopGraceSeconds !== undefined && stopGraceSeconds > LONGEST_GRACE) {
    violations.push({
      field: "stop_grace_seconds",
      description: `${stopGraceSeconds} seconds are too long; use at most ${LONGEST_GRACE} (a day)`,
    });
  }
  return violations;
}

const NAMES = "core cpu data fsize locks memlock msgqueue nice nofile nproc rss rtprio rttime sigpending stack".split(" ");
const NONE = -1n;
const LARGEST = BigInt(Number.MAX_SAFE_INTEGER);

/** Limits of the kernel: known names, each once, soft at most hard. */
export function validateUlimits(ulimits: readonly Ulimit[]): Violation[] {
  return ulimits.flatMap(({ name, soft, hard }, index) => {
    const field = `ulimits[${index}]`;
    if (!NAMES.includes(name)) return [{ field: `${field}.name`, description: `invalid ulimit ${quote(name)}; use one of ${NAMES.join(", ")}` }];
    if (ulimits.findIndex((other) => other.name === name) < index)
      return [{ field: `${field}.name`, description: `${quote(name)} is limited twice; once is enough` }];
    const outside = [
      ["soft", soft],
      ["hard", hard],
    ] as const;
    const wrong = outside.flatMap(([which, value]) =>
      value >= NONE && value <= LARGEST
        ? []
        : [{ field: `${field}.${which}`, description: `invalid limit "${value}"; use 0 to ${LARGEST}, or -1 for none` }],
    );
    if (wrong.length > 0 || hard === NONE || (soft !== NONE && soft <= hard)) return wrong;
    return [{ field: `${field}.soft`, description: `${soft === NONE ? "no limit" : soft} is above the hard limit ${hard}; use at most that` }];
  });
}
