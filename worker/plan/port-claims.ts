import type { Desired } from "../model.ts";
import { portKey } from "./view.ts";

/** Who may have each host port: the first that claims it, in the group's order, then by index. */
export type PortClaims = Readonly<{
  /** Why this container can't have its ports: another claimed one first. undefined: it can. */
  lost(app: string, index: number): string | undefined;
  /** Whose a port is; undefined: nobody of the group's claims it. */
  winner(port: string): Claim | undefined;
}>;

export type Claim = Readonly<{ app: string; index: number }>;

export function portClaims(desired: Desired): PortClaims {
  const winners = new Map<string, Claim>();
  const losses = new Map<string, string>();
  for (const app of desired.apps) {
    if (app.kind !== "running") continue;
    for (const { index, spec } of app.instances) {
      const keys = spec.ports.map(portKey);
      const own = new Set<string>();
      for (const key of keys) {
        const winner = own.has(key) ? { app: app.name, index } : winners.get(key);
        own.add(key);
        if (winner === undefined || losses.has(claimKey(app.name, index))) continue;
        losses.set(claimKey(app.name, index), `host port ${key} is claimed by container ${winner.index} of app ${winner.app} already`);
      }
      if (losses.has(claimKey(app.name, index))) continue;
      for (const key of keys) winners.set(key, { app: app.name, index });
    }
  }
  return {
    lost: (app, index) => losses.get(claimKey(app, index)),
    winner: (port) => winners.get(port),
  };
}

function claimKey(app: string, index: number): string {
  return `${app} ${index}`;
}
