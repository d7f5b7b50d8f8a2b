import { formatAddress, isUnspecified } from "../../common/settings/parse-listen-address.ts";
import type { ListenAddress } from "../../common/settings/settings.ts";

/** What workers are told to dial: the setting, else where the manager listens, else (0.0.0.0 is no address to dial) the machine's name, which may not do: hence the warning. */
export function advertisedAddress(advertise: string | undefined, listen: ListenAddress, hostname: string): { address: string; warning?: string } {
  if (advertise !== undefined) return { address: advertise };
  if (!isUnspecified(listen.host)) return { address: formatAddress(listen) };
  const address = formatAddress({ host: hostname, port: listen.port });
  return { address, warning: `workers are told to dial ${address}; set NEBULA_GRPC_ADVERTISE where they cannot` };
}
