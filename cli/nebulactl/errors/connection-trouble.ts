import type { ServerUrl } from "../../../common/settings/settings.ts";
import type { Login } from "../session/resolve-login.ts";
import { formatServerUrl } from "../session/server-url.ts";

/** Facts of a failed call besides its error. */
export type CallFacts = Readonly<{
  /** Whether the call, or one before it in the same command, may have changed something. */
  changing: boolean;
  /** Whether the server speaks gRPC; undefined if it was not probed. */
  speaksGrpc?: boolean;
}>;

/**
 * Describes the failure of a call that the server never answered, in one sentence with what to do; undefined if it
 * answered.
 */
export function connectionTrouble(error: unknown, { server, serverFrom }: Login, facts: CallFacts): string | undefined {
  const url = formatServerUrl(server);
  const http = server.protocol.startsWith("http");
  for (const { code, message } of systemErrors(error)) {
    switch (code) {
      case "ECONNREFUSED":
        return `nothing answers at ${url} (from ${serverFrom}): start the server, or use another with --server or NEBULA_SERVER`;
      case "ENOTFOUND":
      case "EAI_AGAIN":
        return `unknown host "${server.host}" of ${url} (from ${serverFrom}): check its spelling and the network`;
      case "ETIMEDOUT":
      case "EHOSTUNREACH":
      case "ENETUNREACH":
        return `${url} (from ${serverFrom}) can't be reached: check the network, or use another server with --server or NEBULA_SERVER`;
      case "ECONNRESET":
      case "EPIPE":
        return closedBeforeAnswer(server, facts);
      case "EPROTO":
      case "ERR_SSL_WRONG_VERSION_NUMBER":
        return `${url} does not speak TLS; use ${http ? "http" : "grpc"}:// for a server without`;
      case "ERR_TLS_CERT_ALTNAME_INVALID":
      case "CERT_HAS_EXPIRED":
      case "DEPTH_ZERO_SELF_SIGNED_CERT":
      case "SELF_SIGNED_CERT_IN_CHAIN":
      case "UNABLE_TO_VERIFY_LEAF_SIGNATURE":
      case "UNABLE_TO_GET_ISSUER_CERT_LOCALLY":
        return `the certificate of ${url} is not trusted (${message}); use --tls-ca or NEBULA_TLS_CA for a file with your CA certificates`;
      case "ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED":
      case "ERR_SSL_SSLV3_ALERT_HANDSHAKE_FAILURE":
      case "ERR_SSL_TLSV1_ALERT_UNKNOWN_CA":
      case "ERR_SSL_SSL/TLS_ALERT_HANDSHAKE_FAILURE":
        return `${url} requires a client certificate that it trusts; use --tls-client-cert and --tls-client-key`;
      default:
    }
    if (code.startsWith("HPE_")) return notHttp(server);
    if (code.startsWith("ERR_HTTP2_")) return `${url} does not speak gRPC; if it is a gateway, use http://${server.host}:${server.port}`;
  }
  return undefined;
}

/**
 * A server that requires a client certificate closes the connection without one, and the reason is often lost; a server
 * that speaks TLS closes connections that do not.
 */
export function closedBeforeAnswer(server: ServerUrl, { changing, speaksGrpc }: CallFacts): string {
  const { protocol } = server;
  if (protocol === "http" && speaksGrpc === true) return notHttp(server);
  const isTls = protocol === "https" || protocol === "grpcs";
  const hint = isTls ? "if it requires a client certificate, use --tls-client-cert and --tls-client-key" : `if it speaks TLS, use ${protocol}s://`;
  return `${formatServerUrl(server)} closed the connection before it answered; retry${unknownOutcome(changing)}; ${hint}`;
}

/** A hint that the outcome is unknown; empty for calls that change nothing. */
export function unknownOutcome(changing: boolean): string {
  return changing ? "; the change may have been stored" : "";
}

function notHttp(server: ServerUrl): string {
  return `${formatServerUrl(server)} does not speak HTTP; if it is a manager, use ${formatServerUrl({ ...server, protocol: "grpc" })}`;
}

/** Whether the connection ended without an answer, as a server of another protocol may do. */
export function endedWithoutAnswer(error: unknown): boolean {
  return systemErrors(error).some(({ code }) => code === "ECONNRESET" || code === "EPIPE");
}

type SystemError = { code: string; message: string };

/** The errors of Node with a code, along the chain of causes. */
function systemErrors(error: unknown): SystemError[] {
  const found: SystemError[] = [];
  const seen = new Set<unknown>();
  for (let next = error; next instanceof Error && !seen.has(next); next = next.cause) {
    seen.add(next);
    if ("code" in next && typeof next.code === "string") found.push({ code: next.code, message: next.message });
  }
  return found;
}
