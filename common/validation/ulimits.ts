import type { Ulimit } from "../../gen/nebula/v1/container_pb.ts";
import type { Violation } from "../errors/nebula-error.ts";
import { quote } from "./quote.ts";

const NAMES = "core cpu data fsize locks memlock msgqueue nice nofile nproc rss rtprio rttime sigpending stack".split(" ");
const NONE = -1n;
const LARGEST = BigInt(Number.MAX_SAFE_INTEGER);

/** Limits of the kernel: known names, each once, soft at most hard. */
export function validateUlimits(ulimits: readonly Ulimit[]): Violation[] {
  return ulimits.flatMap(({ name, soft, hard }, index) => {
    const field = `ulimits[${index}]`;
    if (!NAMES.includes(name))
      return [{ field: `${field}.name`, description: `${quote(name)} is no limit of the kernel; one of ${NAMES.join(", ")} would do` }];
    if (ulimits.findIndex((other) => other.name === name) < index)
      return [{ field: `${field}.name`, description: `${quote(name)} is limited twice; once is enough` }];
    const outside = [
      ["soft", soft],
      ["hard", hard],
    ] as const;
    const wrong = outside.flatMap(([which, value]) =>
      value >= NONE && value <= LARGEST
        ? []
        : [{ field: `${field}.${which}`, description: `${value} is no limit; 0 to ${LARGEST}, or -1 for none, would do` }],
    );
    if (wrong.length > 0 || hard === NONE || (soft !== NONE && soft <= hard)) return wrong;
    return [{ field: `${field}.soft`, description: `${soft === NONE ? "no limit" : soft} is above the hard limit ${hard}; at most that would do` }];
  });
}
