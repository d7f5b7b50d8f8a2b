import { isIP } from "node:net";
import { checkServerIdentity } from "node:tls";
import { ChannelCredentials, type ChannelOptions } from "@grpc/grpc-js";

/** The name that is sent where there is none: TLS knows no server name that is an IP address, and Node refuses to send one. */
const NO_NAME = "ip-address.invalid";

/**
 * What a GrpcChannel needs for TLS to `address` (host:port), an IP address included: then the certificate has to name that address.
 * @param rootCertificates PEM of the authorities to trust; undefined: the system's
 */
export function tlsChannel(address: string, rootCertificates?: Buffer): { credentials: ChannelCredentials; options: ChannelOptions } {
  const host = address.slice(0, address.lastIndexOf(":")).replace(/^\[|\]$/g, "");
  if (isIP(host) === 0) return { credentials: ChannelCredentials.createSsl(rootCertificates), options: {} };
  const verify = {
    checkServerIdentity: (_name: string, certificate: Parameters<typeof checkServerIdentity>[1]) => checkServerIdentity(host, certificate),
  };
  return { credentials: ChannelCredentials.createSsl(rootCertificates, null, null, verify), options: { "grpc.ssl_target_name_override": NO_NAME } };
}
