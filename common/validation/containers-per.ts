import type { ContainersPer } from "../../gen/nebula/v1/app_pb.ts";
import { assertNever } from "../errors/assert-never.ts";
import type { Violation } from "../errors/nebula-error.ts";

/** The most containers of one app on one device. */
export const MOST_CONTAINERS = 1000;

/** Checks how many containers run per device. Absent is valid: one per device. */
export function validateContainersPer(containersPer: ContainersPer | undefined): Violation[] {
  const per = containersPer?.per;
  switch (per?.case) {
    case undefined:
      if (per === undefined) return [];
      return [{ field: "containers_per", description: "gives no number; use server: 1, cpu: 0.5 or memory_mb: 512" }];
    case "server":
      return outside("server", per.value, per.value >= 1 && per.value <= MOST_CONTAINERS, `1 to ${MOST_CONTAINERS}`);
    case "cpu":
      return outside("cpu", per.value, per.value > 0 && per.value <= MOST_CONTAINERS, `a number above 0, at most ${MOST_CONTAINERS}`);
    case "memoryMb":
      return outside("memory_mb", per.value, per.value >= 1, "at least 1");
    default:
      return assertNever(per);
  }
}

/** The fewest containers on each device: the number itself if it is per server, else one. */
export function fewestContainers(containersPer: ContainersPer | undefined): number {
  return containersPer?.per.case === "server" ? containersPer.per.value : 1;
}

function outside(kind: string, value: number, fits: boolean, wanted: string): Violation[] {
  return fits ? [] : [{ field: `containers_per.${kind}`, description: `invalid number of containers "${value}"; use ${wanted}` }];
}
