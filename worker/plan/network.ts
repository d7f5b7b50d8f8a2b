import { NEBULA_NETWORK } from "../container-spec.ts";
import { NO_WORK, unlessFailing, type Work } from "./farewell.ts";
import type { View } from "./view.ts";

/** The key of the step that makes the network `nebula`. */
export const NETWORK_KEY = `network ${NEBULA_NETWORK}`;

/** The network `nebula` is part of every plan: removed by hand, it is made again. */
export function networkWork(view: View): Work {
  if (view.networks.has(NEBULA_NETWORK)) return NO_WORK;
  return unlessFailing({ kind: "create_network", unit: "network", key: NETWORK_KEY, network: NEBULA_NETWORK }, view);
}
