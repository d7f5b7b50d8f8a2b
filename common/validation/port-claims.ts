import type { App } from "../../gen/nebula/v1/app_pb.ts";
import { isEveryAddress, publishedPort } from "./host-address.ts";
import { standsAlone } from "./networks.ts";
import { LARGEST_PORT, portClaims, rangeOf } from "./ports.ts";

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
