import { type App, PortProtocol, type StartingPort } from "../../gen/nebula/v1/app_pb.ts";
import type { Violation } from "../errors/nebula-error.ts";
import { addressesOverlap, canonicalAddress, isEveryAddress, publishedPort } from "../net/published-address.ts";
import { quote } from "../text/wording.ts";
import { standsAlone } from "./container/network.ts";
import { fewestContainers, MOST_CONTAINERS } from "./containers-per.ts";

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

/** Two apps that claim one host port: on each device the later one's container fails to start. */
export type SharedClaim = Readonly<{
  /** The app that comes first in the group, and gets the ports. */
  holder: string;
  /** The app that goes without. */
  other: string;
  protocol: "tcp" | "udp";
  /** The address on which the other claims them; "": all. */
  address: string;
  /** The first stretch of host ports that both claim. */
  first: number;
  last: number;
}>;

/**
 * The host ports that more than one app of a group claims, one result for each pair of apps and protocol. Only what runs on every device counts: apps that are not
 * running, and containers that depend on a device's cores or memory, claim nothing. Apps are given in the group's order.
 * @param limit looks no further after this many results: with it, a port is looked at a bounded number of times
 */
export function sharedPortClaims(apps: readonly App[], limit: number): SharedClaim[] {
  const holders = { tcp: new PortHolders(), udp: new PortHolders() };
  const shared = new Map<string, { -readonly [field in keyof SharedClaim]: SharedClaim[field] }>();
  for (const app of apps) {
    if (app.running === false || standsAlone(app.networks)) continue;
    for (const { protocol, address, first, last } of portClaims(app)) {
      for (let port = first; port <= Math.min(last, LARGEST_PORT) && shared.size < limit; port++) {
        const holder = holders[protocol].holderOf(address, port);
        if (holder === undefined) holders[protocol].add(address, port, app.name);
        else if (holder !== app.name) note({ holder, other: app.name, protocol, address, first: port, last: port });
      }
    }
  }
  return [...shared.values()];

  function note(claim: SharedClaim): void {
    const key = `${claim.holder} ${claim.other} ${claim.protocol}`;
    const known = shared.get(key);
    if (known === undefined) shared.set(key, { ...claim });
    else if (claim.first === known.last + 1) known.last = claim.last;
  }
}

/** The app that has each port of one protocol, by the address on which it claims it. */
class PortHolders {
  readonly #onSome = new Map<string, string>();
  readonly #onEvery = new Map<number, string>();
  /** The first that claims it on any address. */
  readonly #first = new Map<number, string>();

  holderOf(address: string, port: number): string | undefined {
    if (isEveryAddress(address)) return this.#first.get(port);
    return this.#onEvery.get(port) ?? this.#onSome.get(publishedPort(address, port));
  }

  add(address: string, port: number, app: string): void {
    if (!this.#first.has(port)) this.#first.set(port, app);
    if (isEveryAddress(address)) this.#onEvery.set(port, app);
    else this.#onSome.set(publishedPort(address, port), app);
  }
}

/** A shared claim as a warning. */
export function sharedClaimWarning(group: string, claim: SharedClaim): string {
  const { holder, other, protocol } = claim;
  return `device_group ${group}: apps ${holder} and ${other} both claim host port ${rangeOf(claim)}/${protocol}; ${holder} comes first and gets it`;
}

/** Returns warnings of fields of one app that are allowed but look unintended, a sentence each. */
export function appWarnings(app: App): string[] {
  const warnings: string[] = [];
  const [network] = app.networks;
  if (standsAlone(app.networks) && app.startingPorts.length > 0) {
    warnings.push(`app ${app.name}: its ports are ignored with the network ${network}: a container in it publishes none`);
  }
  if (standsAlone(app.networks) && app.networks.length > 1) warnings.push(`app ${app.name}: the networks after ${network} are ignored`);
  const close = standsAlone(app.networks) ? undefined : firstClash(app);
  if (close !== undefined) {
    const [lower, upper] = close;
    warnings.push(
      `app ${app.name}: host ports ${lower.first} and ${upper.first}/${upper.protocol} collide on a device that runs more than ${upper.first - lower.first} containers of it`,
    );
  }
  return warnings;
}

/** Two entries that are nearest to each other, where the number of containers depends on the device and some device can have enough of them. */
function firstClash(app: App): readonly [PortClaim, PortClaim] | undefined {
  if (app.containersPer?.per.case !== "cpu" && app.containersPer?.per.case !== "memoryMb") return undefined;
  const claims = portClaims(app).sort((a, b) => a.protocol.localeCompare(b.protocol) || a.first - b.first);
  const pairs = claims.flatMap((lower, index) => {
    for (const upper of claims.slice(index + 1)) {
      if (upper.protocol !== lower.protocol || upper.first - lower.first >= MOST_CONTAINERS) break;
      if (addressesOverlap(lower.address, upper.address)) return [[lower, upper] as const];
    }
    return [];
  });
  return pairs.sort(([a, b], [c, d]) => b.first - a.first - (d.first - c.first))[0];
}
