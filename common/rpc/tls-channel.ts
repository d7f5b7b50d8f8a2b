import { isIP } from "node:net";
import { checkServerIdentity, createSecureContext } from "node:tls";
import { ChannelCredentials, type ChannelOptions } from "@grpc/grpc-js";
import type { ClientTls } from "../tls/client-tls.ts";

/** The name that is sent where there is none: TLS knows no server name that is an IP address, and Node refuses to send one. */
const NO_NAME = "ip-address.invalid";

/** What a GrpcChannel needs for TLS to `address` (host:port), an IP address included: then the certificate has to name that address. */
export function tlsChannel(
  address: string,
  { ca, pair, pinned = false }: ClientTls = {},
): { credentials: ChannelCredentials; options: ChannelOptions } {
  const host = address.slice(0, address.lastIndexOf(":")).replace(/^\[|\]$/g, "");
  const context = createSecureContext({
    minVersion: "TLSv1.2",
    ...(ca === undefined ? {} : { ca }),
    ...pair,
    ...(pinned ? { allowPartialTrustChain: true } : {}), // trusted is the certificate itself, whoever signed it
  });
  const options: ChannelOptions = isIP(host) === 0 ? {} : { "grpc.ssl_target_name_override": NO_NAME };
  if (isIP(host) === 0 && !pinned) return { credentials: ChannelCredentials.createFromSecureContext(context), options };
  const verify = {
    checkServerIdentity: (_name: string, certificate: Parameters<typeof checkServerIdentity>[1]) =>
      pinned ? undefined : checkServerIdentity(host, certificate),
  };
  return { credentials: ChannelCredentials.createFromSecureContext(context, verify), options };
}
