import type { Violation } from "../errors/nebula-error.ts";
import { quote } from "./quote.ts";

const NETWORK = /^[a-zA-Z0-9][a-zA-Z0-9_.-]*$/;

/** Whether the containers have no network of their own: then nothing is published. */
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
      return [{ field, description: `${quote(network)} is no name of a network; it is a letter or digit, then letters, digits, '_', '.', '-'` }];
    if (networks.indexOf(network) < index) return [{ field, description: `${quote(network)} is named twice; once is enough` }];
    if (index > 0 && isAlone(network))
      return [{ field, description: `${quote(network)} cannot be joined to other networks; name it first, and alone` }];
    return [];
  });
}
