import type { Login } from "../login/resolve-login.ts";
import { formatServerUrl } from "../login/server-url.ts";

/** What a call's failure says where the server never answered it: one sentence with what to do. undefined: it did answer. */
export function connectionTrouble(error: unknown, { server, serverFrom }: Login): string | undefined {
  const url = formatServerUrl(server);
  const http = server.protocol.startsWith("http");
  for (const { code, message } of systemErrors(error)) {
    switch (code) {
      case "ECONNREFUSED":
        return `nothing answers at ${url} (from ${serverFrom}): start the server, or name another with --server or NEBULA_SERVER`;
      case "ENOTFOUND":
      case "EAI_AGAIN":
        return `the host "${server.host}" of ${url} (from ${serverFrom}) is not known: check its spelling and the network`;
      case "ETIMEDOUT":
      case "EHOSTUNREACH":
      case "ENETUNREACH":
        return `${url} (from ${serverFrom}) can't be reached: check the network, or name another server with --server or NEBULA_SERVER`;
      case "ECONNRESET":
      case "EPIPE":
        return closedBeforeAnswer(url, server.protocol);
      case "EPROTO":
      case "ERR_SSL_WRONG_VERSION_NUMBER":
        return `${url} does not speak TLS: write ${http ? "http" : "grpc"}:// if that is meant`;
      case "ERR_TLS_CERT_ALTNAME_INVALID":
      case "CERT_HAS_EXPIRED":
      case "DEPTH_ZERO_SELF_SIGNED_CERT":
      case "SELF_SIGNED_CERT_IN_CHAIN":
      case "UNABLE_TO_VERIFY_LEAF_SIGNATURE":
      case "UNABLE_TO_GET_ISSUER_CERT_LOCALLY":
        return `the certificate of ${url} is not trusted (${message}): --tls-ca, or NEBULA_TLS_CA, names a file with your own authority's`;
      case "ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED":
      case "ERR_SSL_SSLV3_ALERT_HANDSHAKE_FAILURE":
      case "ERR_SSL_TLSV1_ALERT_UNKNOWN_CA":
      case "ERR_SSL_SSL/TLS_ALERT_HANDSHAKE_FAILURE":
        return `${url} wants a client certificate that it trusts: give --tls-client-cert and --tls-client-key`;
      default:
    }
    if (code.startsWith("HPE_")) return `${url} does not answer in HTTP: if it is a manager, write grpc://${server.host}:${server.port}`;
    if (code.startsWith("ERR_HTTP2_")) return `${url} does not answer in gRPC: if it is a gateway, write http://${server.host}:${server.port}`;
  }
  return undefined;
}

/**
 * A server that wants a client certificate ends the connection for the lack of one, and the reason is often lost on the way; one that speaks TLS does so
 * with whoever does not.
 */
export function closedBeforeAnswer(url: string, protocol: Login["server"]["protocol"]): string {
  const isTls = protocol === "https" || protocol === "grpcs";
  const hint = isTls ? "if it wants a client certificate, give --tls-client-cert and --tls-client-key" : `if it speaks TLS, write ${protocol}s://`;
  return `${url} closed the connection before it answered: ask again; whether a change was stored is not known; ${hint}`;
}

type SystemError = { code: string; message: string };

/** The errors with a code of Node's along the causes. */
function systemErrors(error: unknown): SystemError[] {
  const found: SystemError[] = [];
  const seen = new Set<unknown>();
  for (let next = error; next instanceof Error && !seen.has(next); next = next.cause) {
    seen.add(next);
    if ("code" in next && typeof next.code === "string") found.push({ code: next.code, message: next.message });
  }
  return found;
}
