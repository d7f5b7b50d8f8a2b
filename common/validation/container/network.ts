import type { Violation } from "../../errors/nebula-error.ts";
import { quote } from "../../text/wording.ts";

const NETWORK = /^[a-zA-Z0-9][a-zA-Z0-9_.-]*$/;

/** Whether the containers have no network of their own (`host` or `none`): no port is published then. */
export function standsAlone(networks: readonly string[]): boolean {
  return isAlone(networks[0]);
}

function isAlone(network: string | undefined): network is "host" | "none" {
  return network === "host" || network === "none";
}

export function validateNetworks(networks: readonly string[]): Violation[] {
  return networks.flatMap((network, index) => {
    const field = `networks[${index}]`;
    if (!NETWORK.test(network))
      return [{ field, description: `invalid network ${quote(network)}; use a letter or digit, then letters, digits, '_', '.', '-'` }];
    if (networks.indexOf(network) < index) return [{ field, description: `${quote(network)} is listed twice; name it once` }];
    if (index > 0 && isAlone(network)) return [{ field, description: `${quote(network)} cannot be joined to other networks; use it alone` }];
    return [];
  });
}
