import type { ContainersPer } from "../../gen/nebula/v1/app_pb.ts";
import { assertNever } from "../errors/assert-never.ts";
import type { Violation } from "../errors/nebula-error.ts";

/** The most containers of one app on one device. */
export const MOST_CONTAINERS = 1000;

/** How many containers per device; absent is allowed, and one per server. */
export function validateContainersPer(containersPer: ContainersPer | undefined): Violation[] {
  const per = containersPer?.per;
  switch (per?.case) {
    case undefined:
      if (per === undefined) return [];
      return [{ field: "containers_per", description: "says no number; server: 1, cpu: 0.5 or memory_mb: 512 would do" }];
    case "server":
      return outside("server", per.value, per.value >= 1 && per.value <= MOST_CONTAINERS, `1 to ${MOST_CONTAINERS} would do`);
    case "cpu":
      return outside("cpu", per.value, per.value > 0 && per.value <= MOST_CONTAINERS, `a number above 0, at most ${MOST_CONTAINERS}, would do`);
    case "memoryMb":
      return outside("memory_mb", per.value, per.value >= 1, "at least 1 would do");
    default:
      return assertNever(per);
  }
}

/** How many containers run on every device at least: the number itself where it counts servers, else one. */
export function fewestContainers(containersPer: ContainersPer | undefined): number {
  return containersPer?.per.case === "server" ? containersPer.per.value : 1;
}

function outside(kind: string, value: number, fits: boolean, wanted: string): Violation[] {
  return fits ? [] : [{ field: `containers_per.${kind}`, description: `${value} is no number of containers; ${wanted}` }];
}
