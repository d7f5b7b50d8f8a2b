import { type App, PortProtocol, type StartingPort } from "../../gen/nebula/v1/app_pb.ts";
import type { Violation } from "../errors/nebula-error.ts";
import { fewestContainers } from "./containers-per.ts";
import { canonicalAddress, isEveryAddress, publishedPort } from "./host-address.ts";
import { quote } from "./quote.ts";

export const LARGEST_PORT = 65_535;

/** The host ports that one entry of an app claims on every device, on one address or on all (""): container i takes `first` + i. */
export type PortClaim = Readonly<{ entry: number; protocol: "tcp" | "udp"; address: string; first: number; last: number }>;

/** The claims of an app's containers that run on every device, in the order of its entries. */
export function portClaims({ startingPorts, containersPer }: Pick<App, "startingPorts" | "containersPer">): PortClaim[] {
  const count = fewestContainers(containersPer);
  return startingPorts.map(({ hostAddress, hostPort, protocol }, entry) => ({
    entry,
    protocol: protocolOf(protocol),
    address: canonicalAddress(hostAddress) ?? hostAddress,
    first: hostPort,
    last: hostPort + count - 1,
  }));
}

export function protocolOf(protocol: PortProtocol): "tcp" | "udp" {
  return protocol === PortProtocol.UDP ? "udp" : "tcp";
}

/** Ports within 1 to 65535, those of the further containers too, and no host port claimed twice inside one app. */
export function validatePorts(app: Pick<App, "startingPorts" | "containersPer">): Violation[] {
  const shape = app.startingPorts.flatMap((port, index) => portViolations(port, `starting_ports[${index}]`));
  return shape.length > 0 ? shape : claimViolations(portClaims(app));
}

function portViolations({ hostAddress, hostPort, containerPort }: StartingPort, path: string): Violation[] {
  const ports = [
    ["host_port", hostPort],
    ["container_port", containerPort],
  ] as const;
  const violations = ports.flatMap(([name, port]) =>
    port >= 1 && port <= LARGEST_PORT ? [] : [{ field: `${path}.${name}`, description: `invalid port "${port}"; use 1 to ${LARGEST_PORT}` }],
  );
  if (hostAddress === "" || canonicalAddress(hostAddress) !== undefined) return violations;
  const description = `invalid address ${quote(hostAddress)}; use an IPv4 or IPv6 address, as 127.0.0.1 or ::1`;
  return [...violations, { field: `${path}.host_address`, description }];
}

function claimViolations(claims: readonly PortClaim[]): Violation[] {
  const taken = { tcp: new WidestClaims(), udp: new WidestClaims() };
  const violations: (Violation & { entry: number })[] = [];
  for (const claim of [...claims].sort((a, b) => a.first - b.first || a.entry - b.entry)) {
    const field = `starting_ports[${claim.entry}].host_port`;
    const before = taken[claim.protocol].colliding(claim);
    if (claim.last > LARGEST_PORT) {
      const highest = LARGEST_PORT - (claim.last - claim.first);
      const description = `invalid port "${claim.first}": it leaves no port for the last containers (${claim.last}); use at most ${highest}`;
      violations.push({ entry: claim.entry, field, description });
    } else if (before !== undefined) {
      const port = `${publishedPort(claim.address, claim.first)}/${claim.protocol}`;
      const description = `host port ${port} is claimed by starting_ports[${before.entry}] already (${rangeOf(before)}); choose another`;
      violations.push({ entry: claim.entry, field, description });
    }
    taken[claim.protocol].add(claim);
  }
  return violations.sort((a, b) => a.entry - b.entry).map(({ field, description }) => ({ field, description }));
}

/** Claims of one protocol that were added in the order of their first ports: of each address, the one that reaches furthest. */
class WidestClaims {
  readonly #byAddress = new Map<string, PortClaim>();
  /** Of all claims, of any address. */
  #widest: PortClaim | undefined;
  #widestOfAll: PortClaim | undefined;

  /** A claim before this one that has a port in common with it; undefined: there is none. */
  colliding({ address, first }: PortClaim): PortClaim | undefined {
    const candidates = isEveryAddress(address) ? [this.#widest] : [this.#byAddress.get(address), this.#widestOfAll];
    return candidates.find((before) => before !== undefined && before.last >= first);
  }

  add(claim: PortClaim): void {
    this.#widest = wider(this.#widest, claim);
    if (isEveryAddress(claim.address)) this.#widestOfAll = wider(this.#widestOfAll, claim);
    else this.#byAddress.set(claim.address, wider(this.#byAddress.get(claim.address), claim));
  }
}

function wider(before: PortClaim | undefined, claim: PortClaim): PortClaim {
  return before === undefined || claim.last > before.last ? claim : before;
}

/** `80`, `80 to 84`, `127.0.0.1:80 to 84` */
export function rangeOf({ address, first, last }: Pick<PortClaim, "address" | "first" | "last">): string {
  return first === last ? publishedPort(address, first) : `${publishedPort(address, first)} to ${last}`;
}
