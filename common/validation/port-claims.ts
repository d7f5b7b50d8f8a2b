import type { App } from "../../gen/nebula/v1/app_pb.ts";
import { standsAlone } from "./networks.ts";
import { LARGEST_PORT, type PortClaim, portClaims, rangeOf } from "./ports.ts";

/** Two apps that claim one host port: on each device the later one's container fails to start. */
export type SharedClaim = Readonly<{
  /** The app that comes first in the group, and gets the ports. */
  holder: string;
  /** The app that goes without. */
  other: string;
  protocol: "tcp" | "udp";
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
  const holders = { tcp: new Map<number, string>(), udp: new Map<number, string>() };
  const shared = new Map<string, { holder: string; other: string; protocol: PortClaim["protocol"]; first: number; last: number }>();
  for (const app of apps) {
    if (app.running === false || standsAlone(app.networks)) continue;
    for (const { protocol, first, last } of portClaims(app)) {
      for (let port = first; port <= Math.min(last, LARGEST_PORT) && shared.size < limit; port++) {
        const holder = holders[protocol].get(port);
        if (holder === undefined) holders[protocol].set(port, app.name);
        else if (holder !== app.name) note({ holder, other: app.name, protocol, first: port, last: port });
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

/** A shared claim as a warning. */
export function sharedClaimWarning(group: string, claim: SharedClaim): string {
  const { holder, other, protocol } = claim;
  return `device_group ${group}: apps ${holder} and ${other} both claim host port ${rangeOf(claim)}/${protocol}; ${holder} comes first and gets it`;
}
