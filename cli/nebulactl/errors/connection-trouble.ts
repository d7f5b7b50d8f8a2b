import type { ServerUrl } from "../../../common/settings/settings.ts";
import type { Login } from "../login/resolve-login.ts";
import { formatServerUrl } from "../login/server-url.ts";

/** What is known of a failed call besides its error. */
export type CallFacts = Readonly<{
  /** Whether something may have been changed: the call, or one before it in the same command, was no mere reading. */
  changing: boolean;
  /** Whether gRPC is spoken at the server's address, where that was asked. */
  speaksGrpc?: boolean;
}>;

/** What a call's failure says where the server never answered it: one sentence with what to do. undefined: it did answer. */
export function connectionTrouble(error: unknown, { server, serverFrom }: Login, facts: CallFacts): string | undefined {
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
        return closedBeforeAnswer(server, facts);
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
    if (code.startsWith("HPE_")) return notHttp(server);
    if (code.startsWith("ERR_HTTP2_")) return `${url} does not answer in gRPC: if it is a gateway, write http://${server.host}:${server.port}`;
  }
  return undefined;
}

/**
 * A server that wants a client certificate ends the connection for the lack of one, and the reason is often lost on the way; one that speaks TLS does so
 * with whoever does not.
 */
export function closedBeforeAnswer(server: ServerUrl, { changing, speaksGrpc }: CallFacts): string {
  const { protocol } = server;
  if (protocol === "http" && speaksGrpc === true) return notHttp(server);
  const isTls = protocol === "https" || protocol === "grpcs";
  const hint = isTls ? "if it wants a client certificate, give --tls-client-cert and --tls-client-key" : `if it speaks TLS, write ${protocol}s://`;
  return `${formatServerUrl(server)} closed the connection before it answered: ask again${unknownOutcome(changing)}; ${hint}`;
}

/** Only of a call that changes something it is worth a word that its outcome is unknown. */
export function unknownOutcome(changing: boolean): string {
  return changing ? "; whether the change was stored is not known" : "";
}

function notHttp(server: ServerUrl): string {
  return `${formatServerUrl(server)} does not answer in HTTP: if it is a manager, write ${formatServerUrl({ ...server, protocol: "grpc" })}`;
}

/** Whether the connection ended without an answer, which a server of another protocol may be the cause of. */
export function endedWithoutAnswer(error: unknown): boolean {
  return systemErrors(error).some(({ code }) => code === "ECONNRESET" || code === "EPIPE");
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
