import { standsAlone } from "../../common/validation/networks.ts";
import type { Owned } from "../owned.ts";
import type { ContainerSpec } from "../runtime/container-runtime.ts";
import { NO_WORK, together, unlessFailing, type Work } from "./farewell.ts";
import type { View } from "./view.ts";

/**
 * Connects a container to those of its networks that it is not on yet, or not any more.
 * @param keyOf the key of the step for a network, where it is not the container's own
 */
export function connections(
  { container }: Owned,
  spec: ContainerSpec,
  unit: string,
  view: View,
  keyOf: (network: string) => string = (network) => `connect ${container.id} ${network}`,
): Work {
  if (standsAlone(spec.networks)) return NO_WORK;
  const missing = spec.networks.filter((network) => !container.networks.includes(network) && view.networks.has(network));
  return together(
    missing.map((name) => {
      const network = view.networks.get(name)?.id ?? name;
      return unlessFailing({ kind: "connect", unit, key: keyOf(name), containerId: container.id, network }, view);
    }),
  );
}
