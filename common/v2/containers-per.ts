import { create } from "@bufbuild/protobuf";
import { type ContainersPer, ContainersPerSchema } from "../../gen/nebula/v1/app_pb.ts";
import { assertNever } from "../errors/assert-never.ts";
import type { Violation } from "../errors/nebula-error.ts";
import { quote } from "../text/wording.ts";

/** How many containers per device as v2 writes it: one of `{"server": 2}`, `{"cpu": 0.5}`, `{"memory": 512}`. */
export type V2ContainersPer = Readonly<{ server: number } | { cpu: number } | { memory: number }>;

export type ContainersPerFromV2 = Readonly<
  { kind: "containers_per"; containersPer: ContainersPer } | { kind: "invalid"; violations: readonly Violation[] }
>;

const EXAMPLE = '{"server": 2}, {"cpu": 0.5} or {"memory": 512}';
const LARGEST_UINT32 = 2 ** 32 - 1;

/**
 * Reads v2's containers_per; `instance` is server, `mem` and `memory_mb` are memory, and as in v2 a server's number loses its fraction. Whether the number is large
 * enough is for the validation to say.
 */
export function containersPerFromV2(value: unknown): ContainersPerFromV2 {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return invalid(`is not an object; use ${EXAMPLE}`);
  const [first, ...more] = Object.entries(value);
  if (first === undefined || more.length > 0) return invalid(`has ${first === undefined ? "no" : "more than one"} kind; use ${EXAMPLE}`);
  const [kind, given] = first;
  const number = numberOf(given);
  if (number === undefined)
    return invalid(`${quote(`${kind}: ${typeof given === "object" ? JSON.stringify(given) : String(given)}`)} is not a number; use ${EXAMPLE}`);
  switch (kind) {
    case "server":
    case "instance":
      return whole(kind, Math.trunc(number), (count) => ({ case: "server", value: count }));
    case "cpu":
      return { kind: "containers_per", containersPer: create(ContainersPerSchema, { per: { case: "cpu", value: number } }) };
    case "memory":
    case "mem":
    case "memory_mb":
      return whole(kind, number, (count) => ({ case: "memoryMb", value: count }));
    default:
      return invalid(`${quote(kind)} is not a kind of it; use ${EXAMPLE}`);
  }
}

/** Writes containers_per as v2 does; absent is one per server. */
export function containersPerToV2(containersPer: ContainersPer | undefined): V2ContainersPer {
  const per = containersPer?.per;
  switch (per?.case) {
    case undefined:
      return { server: 1 };
    case "server":
      return { server: per.value };
    case "cpu":
      return { cpu: per.value };
    case "memoryMb":
      return { memory: per.value };
    default:
      return assertNever(per);
  }
}

function whole(kind: string, number: number, per: (count: number) => { case: "server" | "memoryMb"; value: number }): ContainersPerFromV2 {
  if (!Number.isInteger(number) || number < 0 || number > LARGEST_UINT32)
    return invalid(`${kind}: ${number} is not a whole number from 1; use ${EXAMPLE}`);
  return { kind: "containers_per", containersPer: create(ContainersPerSchema, { per: per(number) }) };
}

function numberOf(value: unknown): number | undefined {
  const number = typeof value === "string" && /^-?[0-9]+(?:\.[0-9]+)?$/.test(value) ? Number(value) : value;
  return typeof number === "number" && Number.isFinite(number) ? number : undefined;
}

function invalid(description: string): ContainersPerFromV2 {
  return { kind: "invalid", violations: [{ field: "containers_per", description }] };
}
