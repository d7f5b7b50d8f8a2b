import type { ContainersPer } from "../../gen/nebula/v1/app_pb.ts";
import { assertNever } from "../errors/assert-never.ts";
import { MOST_CONTAINERS } from "../validation/containers-per.ts";

const BYTES_PER_MB = 1024 * 1024;

/** The measures that containers are counted by: the cores and the memory of the engine. */
export type Capacity = Readonly<{ cores: number; memoryBytes: number }>;

export type ContainerCount = Readonly<{ kind: "count"; count: number } | { kind: "invalid"; reason: string }>;

/** How many containers of an app this engine runs. Absent: one. */
export function containerCount(per: ContainersPer | undefined, engine: Capacity): ContainerCount {
  const wanted = per?.per;
  if (wanted === undefined) return { kind: "count", count: 1 };
  switch (wanted.case) {
    case undefined:
      return invalid("containers_per says neither server, cpu nor memory_mb; give one of them a number above 0");
    case "server":
      return checked(wanted.value, `containers_per.server is ${wanted.value}`);
    case "cpu":
      if (!(wanted.value > 0)) return invalid(`containers_per.cpu is ${wanted.value}; give a number above 0`);
      return checked(Math.max(1, Math.floor(engine.cores * wanted.value)), `containers_per.cpu is ${wanted.value}, with ${engine.cores} cores`);
    case "memoryMb":
      if (!(wanted.value >= 1)) return invalid(`containers_per.memory_mb is ${wanted.value}; give at least 1`);
      return checked(
        Math.max(1, Math.floor(engine.memoryBytes / BYTES_PER_MB / wanted.value)),
        `containers_per.memory_mb is ${wanted.value}, with ${Math.floor(engine.memoryBytes / BYTES_PER_MB)} MB`,
      );
    default:
      return assertNever(wanted);
  }
}

function checked(count: number, what: string): ContainerCount {
  if (Number.isInteger(count) && count >= 1 && count <= MOST_CONTAINERS) return { kind: "count", count };
  return invalid(`${what}: that is ${count} containers; use 1 to ${MOST_CONTAINERS}`);
}

function invalid(reason: string): ContainerCount {
  return { kind: "invalid", reason };
}
