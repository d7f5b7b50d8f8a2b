import { create } from "@bufbuild/protobuf";
import { PortProtocol, type StartingPort, StartingPortSchema } from "../../gen/nebula/v1/app_pb.ts";
import type { Violation } from "../errors/nebula-error.ts";
import { quote } from "../validation/quote.ts";

/** A published port as v2 writes it: `80`, `{"8080": "80"}`; UDP is ours: `"53/udp"`, `{"5353": "53/udp"}`. */
export type V2StartingPort = number | string | Readonly<Record<string, string>>;

export type PortsFromV2 = Readonly<
  | { kind: "ports"; ports: StartingPort[] }
  /** Not a list of the shapes above. */
  | { kind: "invalid_shape"; violations: readonly Violation[] }
  /** Of the right shape, with a number that is no port. */
  | { kind: "invalid_port"; violations: readonly Violation[] }
>;

const LARGEST_PORT = 65_535;
const PORT = /^([0-9]+)(?:\/(tcp|udp))?$/;

type Entry = { host: number; container: number; protocol: PortProtocol };

/** Reads v2's starting_ports: a list that mixes ports and objects of host to container port. */
export function startingPortsFromV2(value: unknown): PortsFromV2 {
  if (!Array.isArray(value)) return { kind: "invalid_shape", violations: [{ field: "starting_ports", description: `is no list; ${EXAMPLE}` }] };
  const read = value.map((entry: unknown, index) => ({ path: `starting_ports[${index}]`, entry, ports: entriesOf(entry) }));
  const unread = read.filter(({ ports }) => ports === undefined);
  if (unread.length > 0) {
    return {
      kind: "invalid_shape",
      violations: unread.map(({ path, entry }) => ({ field: path, description: `${shown(entry)} is no port; ${EXAMPLE}` })),
    };
  }
  const outside = read.flatMap(({ path, ports = [] }) =>
    [...new Set(ports.flatMap(({ host, container }) => [host, container]))]
      .filter((port) => port < 1 || port > LARGEST_PORT)
      .map((port) => ({ field: path, description: `${port} is no port; 1 to ${LARGEST_PORT} would do` })),
  );
  if (outside.length > 0) return { kind: "invalid_port", violations: outside };
  const ports = read.flatMap(({ ports = [] }) => ports);
  return {
    kind: "ports",
    ports: ports.map(({ host, container, protocol }) => create(StartingPortSchema, { hostPort: host, containerPort: container, protocol })),
  };
}

/** Writes starting_ports as v2 does, in the shortest shape that says it. */
export function startingPortsToV2(ports: readonly StartingPort[]): V2StartingPort[] {
  return ports.map(({ hostPort, containerPort, protocol }) => {
    const container = protocol === PortProtocol.UDP ? `${containerPort}/udp` : `${containerPort}`;
    if (hostPort !== containerPort) return { [`${hostPort}`]: container };
    return protocol === PortProtocol.UDP ? container : containerPort;
  });
}

const EXAMPLE = '80, "53/udp", {"8080": "80"} or {"5353": "53/udp"} would do';

/** The ports of one entry of the list; undefined: it has another shape. An object may hold several. */
function entriesOf(entry: unknown): Entry[] | undefined {
  if (typeof entry === "object" && entry !== null && !Array.isArray(entry)) {
    const pairs = Object.entries(entry).map(([host, container]): Entry | undefined => {
      const inside = portOf(container);
      return /^[0-9]+$/.test(host) && inside !== undefined ? { ...inside, host: Number(host) } : undefined;
    });
    const known = pairs.filter((pair) => pair !== undefined);
    return pairs.length > 0 && known.length === pairs.length ? known : undefined;
  }
  const port = portOf(entry);
  return port === undefined ? undefined : [port];
}

function portOf(value: unknown): Entry | undefined {
  if (typeof value === "number") return Number.isSafeInteger(value) ? { host: value, container: value, protocol: PortProtocol.TCP } : undefined;
  const match = typeof value === "string" ? PORT.exec(value) : null;
  if (match === null) return undefined;
  const port = Number(match[1]);
  return { host: port, container: port, protocol: match[2] === "udp" ? PortProtocol.UDP : PortProtocol.TCP };
}

function shown(value: unknown): string {
  return quote(typeof value === "string" ? value : (JSON.stringify(value) ?? String(value)));
}
