import type { HostPort } from "./container-spec.ts";
import type { Desired } from "./desired.ts";
import { PortMap, portText } from "./host-ports.ts";

/**
 * The container that may have each host port: the first that claims it, in the group's order, then by index. Claims collide as
 * portsCollide says.
 */
export type PortClaims = Readonly<{
  /** Why this container can't have its ports: another claimed one first. undefined: it can. */
  lost(app: string, index: number): string | undefined;
  /** The containers whose claims collide with a port. */
  winners(port: HostPort): readonly Claim[];
}>;

export type Claim = Readonly<{ app: string; index: number }>;

export function portClaims(desired: Desired): PortClaims {
  const winners = new PortMap<Claim>();
  const losses = new Map<string, string>();
  for (const app of desired.apps) {
    if (app.kind !== "running") continue;
    for (const { index, spec } of app.instances) {
      const claim: Claim = { app: app.name, index };
      const own = new PortMap<Claim>();
      let loss: string | undefined;
      for (const port of spec.ports) {
        const winner = own.colliding(port)[0] ?? winners.colliding(port)[0];
        own.add(port, claim);
        if (winner !== undefined) loss ??= `host port ${portText(port)} is claimed by container ${winner.index} of app ${winner.app} already`;
      }
      if (loss === undefined) for (const port of spec.ports) winners.add(port, claim);
      else losses.set(claimKey(app.name, index), loss);
    }
  }
  return {
    lost: (app, index) => losses.get(claimKey(app, index)),
    winners: (port) => winners.colliding(port),
  };
}

function claimKey(app: string, index: number): string {
  return `${app} ${index}`;
}
