import { create } from "@bufbuild/protobuf";
import { PortProtocol, type StartingPort, StartingPortSchema } from "../../gen/nebula/v1/app_pb.ts";
import type { Violation } from "../errors/nebula-error.ts";
import { canonicalAddress, publishedPort } from "../net/published-address.ts";
import { quote } from "../text/wording.ts";

/**
 * A published port as v2 writes it: `80`, `{"8080": "80"}`. Ours are UDP, `"53/udp"` and `{"5353": "53/udp"}`; a host address,
 * `{"127.0.0.1:8080": "80"}`; and a text as on Docker's command line, `"127.0.0.1:8080:80"`, which is read and never written.
 */
export type V2StartingPort = number | string | Readonly<Record<string, string>>;

export type PortsFromV2 = Readonly<
  | { kind: "ports"; ports: StartingPort[] }
  /** Not a list of the shapes above. */
  | { kind: "invalid_shape"; violations: readonly Violation[] }
  /** Of the right shape, with a number that is not a port. */
  | { kind: "invalid_port"; violations: readonly Violation[] }
>;

const LARGEST_PORT = 65_535;
/** `8080`, `127.0.0.1:8080`, `[::1]:8080` */
const HOST = /^(?:(?:\[([0-9a-fA-F:.]+)\]|([0-9.]+)):)?([0-9]+)$/;
/** `80`, `53/udp` */
const CONTAINER = /^([0-9]+)(?:\/(tcp|udp))?$/;

type Entry = { address: string; host: number; container: number; protocol: PortProtocol };

/** Reads v2's starting_ports: a list that mixes ports and objects of host to container port. */
export function startingPortsFromV2(value: unknown): PortsFromV2 {
  if (!Array.isArray(value))
    return { kind: "invalid_shape", violations: [{ field: "starting_ports", description: `is not a list of ports; ${EXAMPLE}` }] };
  const read = value.map((entry: unknown, index) => ({ path: `starting_ports[${index}]`, entry, ports: entriesOf(entry) }));
  const unread = read.filter(({ ports }) => ports === undefined);
  if (unread.length > 0) {
    return {
      kind: "invalid_shape",
      violations: unread.map(({ path, entry }) => ({ field: path, description: `invalid port ${shown(entry)}; ${EXAMPLE}` })),
    };
  }
  const outside = read.flatMap(({ path, ports = [] }) =>
    [...new Set(ports.flatMap(({ host, container }) => [host, container]))]
      .filter((port) => port < 1 || port > LARGEST_PORT)
      .map((port) => ({ field: path, description: `invalid port "${port}"; use 1 to ${LARGEST_PORT}` })),
  );
  if (outside.length > 0) return { kind: "invalid_port", violations: outside };
  const ports = read.flatMap(({ ports = [] }) => ports);
  return {
    kind: "ports",
    ports: ports.map(({ address, host, container, protocol }) =>
      create(StartingPortSchema, { hostAddress: address, hostPort: host, containerPort: container, protocol }),
    ),
  };
}

/** The ports that the original knows: its worker exits on any other. */
export function portsOfOriginal(ports: readonly StartingPort[]): StartingPort[] {
  return ports.filter(({ hostAddress, protocol }) => hostAddress === "" && protocol !== PortProtocol.UDP);
}

/** Writes starting_ports as v2 does, in the shortest shape that says it. */
export function startingPortsToV2(ports: readonly StartingPort[]): V2StartingPort[] {
  return ports.map(({ hostAddress, hostPort, containerPort, protocol }) => {
    const container = protocol === PortProtocol.UDP ? `${containerPort}/udp` : `${containerPort}`;
    if (hostAddress !== "" || hostPort !== containerPort) return { [publishedPort(hostAddress, hostPort)]: container };
    return protocol === PortProtocol.UDP ? container : containerPort;
  });
}

const EXAMPLE = 'use 80, "8080:80", "53/udp", "127.0.0.1:8080:80" or {"8080": "80"}';

/** The ports of one entry of the list; undefined: it has another shape. An object may hold several. */
function entriesOf(entry: unknown): Entry[] | undefined {
  if (typeof entry === "object" && entry !== null && !Array.isArray(entry)) {
    const pairs = Object.entries(entry).map(([host, container]) => entryOf(host, container));
    const known = pairs.filter((pair) => pair !== undefined);
    return pairs.length > 0 && known.length === pairs.length ? known : undefined;
  }
  const colon = typeof entry === "string" ? entry.lastIndexOf(":") : -1;
  const read = typeof entry === "string" && colon >= 0 ? entryOf(entry.slice(0, colon), entry.slice(colon + 1)) : samePort(entry);
  return read === undefined ? undefined : [read];
}

function entryOf(host: string, container: unknown): Entry | undefined {
  const [, ipv6, ipv4, port] = HOST.exec(host) ?? [];
  const inside = samePort(container);
  const given = ipv6 ?? ipv4;
  const address = given === undefined ? "" : canonicalAddress(given);
  if (port === undefined || inside === undefined || address === undefined) return undefined;
  return { ...inside, address, host: Number(port) };
}

/** A port that is the same outside and inside. */
function samePort(value: unknown): Entry | undefined {
  if (typeof value === "number") {
    return Number.isSafeInteger(value) ? { address: "", host: value, container: value, protocol: PortProtocol.TCP } : undefined;
  }
  const match = typeof value === "string" ? CONTAINER.exec(value) : null;
  if (match === null) return undefined;
  const port = Number(match[1]);
  return { address: "", host: port, container: port, protocol: match[2] === "udp" ? PortProtocol.UDP : PortProtocol.TCP };
}

function shown(value: unknown): string {
  return quote(typeof value === "string" ? value : (JSON.stringify(value) ?? String(value)));
}
