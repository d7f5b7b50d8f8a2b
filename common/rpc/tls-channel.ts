import { isIP } from "node:net";
import { checkServerIdentity, createSecureContext } from "node:tls";
import { ChannelCredentials, type ChannelOptions } from "@grpc/grpc-js";
import type { ClientTls } from "../tls/client-tls.ts";

/** The name that is sent where there is none: TLS knows no server name that is an IP address, and Node refuses to send one. */
const NO_NAME = "ip-address.invalid";

/**
 * Returns the credentials and options of a GrpcChannel for TLS to `address` (host:port), an IP address included: then the certificate has to name
 * that address.
 * @param name the name that led to the address: then the certificate has to have that name
 */
export function tlsChannel(
  address: string,
  { ca, pair, pinned = false }: ClientTls = {},
  name?: string,
): { credentials: ChannelCredentials; options: ChannelOptions } {
  const host = name ?? address.slice(0, address.lastIndexOf(":")).replace(/^\[|\]$/g, "");
  const context = createSecureContext({
    minVersion: "TLSv1.2",
    ...(ca === undefined ? {} : { ca }),
    ...pair,
    ...(pinned ? { allowPartialTrustChain: true } : {}), // the certificate itself is trusted, not its issuer
  });
  const named: ChannelOptions = name === undefined ? {} : { "grpc.ssl_target_name_override": name, "grpc.default_authority": name };
  const options = isIP(host) === 0 ? named : { "grpc.ssl_target_name_override": NO_NAME };
  if (isIP(host) === 0 && !pinned) return { credentials: ChannelCredentials.createFromSecureContext(context), options };
  const verify = {
    checkServerIdentity: (_name: string, certificate: Parameters<typeof checkServerIdentity>[1]) =>
      pinned ? undefined : checkServerIdentity(host, certificate),
  };
  return { credentials: ChannelCredentials.createFromSecureContext(context, verify), options };
}
