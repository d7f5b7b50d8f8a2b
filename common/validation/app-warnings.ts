import type { App } from "../../gen/nebula/v1/app_pb.ts";
import { MOST_CONTAINERS } from "./containers-per.ts";
import { addressesOverlap } from "./host-address.ts";
import { standsAlone } from "./networks.ts";
import { type PortClaim, portClaims } from "./ports.ts";

/** What is allowed but looks unintended in one app, a sentence each. */
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
