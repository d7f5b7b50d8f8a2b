import { type App, PortProtocol, type StartingPort } from "../../gen/nebula/v1/app_pb.ts";
import type { Violation } from "../errors/nebula-error.ts";
import { fewestContainers } from "./containers-per.ts";

export const LARGEST_PORT = 65_535;

/** The host ports that one entry of an app claims on every device: container i takes `first` + i. */
export type PortClaim = Readonly<{ entry: number; protocol: "tcp" | "udp"; first: number; last: number }>;

/** The claims of an app's containers that run on every device, in the order of its entries. */
export function portClaims({ startingPorts, containersPer }: Pick<App, "startingPorts" | "containersPer">): PortClaim[] {
  const count = fewestContainers(containersPer);
  return startingPorts.map(({ hostPort, protocol }, entry) => ({
    entry,
    protocol: protocolOf(protocol),
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

function portViolations({ hostPort, containerPort }: StartingPort, path: string): Violation[] {
  const ports = [
    ["host_port", hostPort],
    ["container_port", containerPort],
  ] as const;
  return ports.flatMap(([name, port]) =>
    port >= 1 && port <= LARGEST_PORT ? [] : [{ field: `${path}.${name}`, description: `${port} is no port; 1 to ${LARGEST_PORT} would do` }],
  );
}

function claimViolations(claims: readonly PortClaim[]): Violation[] {
  const widest: Record<PortClaim["protocol"], PortClaim | undefined> = { tcp: undefined, udp: undefined };
  const violations: (Violation & { entry: number })[] = [];
  for (const claim of [...claims].sort((a, b) => a.first - b.first || a.entry - b.entry)) {
    const field = `starting_ports[${claim.entry}].host_port`;
    const before = widest[claim.protocol];
    if (claim.last > LARGEST_PORT) {
      violations.push({
        entry: claim.entry,
        field,
        description: `${claim.first} leaves no port for the last containers (${claim.last}); at most ${LARGEST_PORT - (claim.last - claim.first)} would do`,
      });
    } else if (before !== undefined && before.last >= claim.first) {
      const description = `host port ${claim.first}/${claim.protocol} is claimed by starting_ports[${before.entry}] already (${rangeOf(before)}); choose another`;
      violations.push({ entry: claim.entry, field, description });
    }
    if (before === undefined || claim.last > before.last) widest[claim.protocol] = claim;
  }
  return violations.sort((a, b) => a.entry - b.entry).map(({ field, description }) => ({ field, description }));
}

/** `80`, `80 to 84` */
export function rangeOf({ first, last }: Pick<PortClaim, "first" | "last">): string {
  return first === last ? `${first}` : `${first} to ${last}`;
}
