import type { Interceptor, Transport } from "@connectrpc/connect";
import { createConnectTransport, createGrpcTransport } from "@connectrpc/connect-node";
import { authorizationOf } from "../../common/access/authorization.ts";
import { assertNever } from "../../common/errors/assert-never.ts";
import { NebulaError } from "../../common/errors/nebula-error.ts";
import type { Credentials } from "../../common/settings/settings.ts";
import type { Login } from "./login/resolve-login.ts";
import { formatServerUrl } from "./login/server-url.ts";

/** A call ends after this, milliseconds. Streams are given a limit of their own. */
const CALL_TIMEOUT_MS = 30_000;

/** The way to a gateway (Connect JSON) or to a manager (gRPC). Nothing is dialled before the first call, and a connection without calls does not keep the process. */
export function connectTo({ server, credentials, credentialsFrom, tls = {} }: Login): Transport {
  // What makes no header would be shown in the error of whoever tries.
  if (credentials?.kind === "token" && !/^[\x21-\x7e]+$/.test(credentials.token)) {
    throw new NebulaError("invalid_argument", `the token (from ${credentialsFrom}) holds characters that no token has`);
  }
  const common = { interceptors: [withCredentials(credentials)], defaultTimeoutMs: CALL_TIMEOUT_MS };
  const nodeOptions = { minVersion: "TLSv1.2", ...(tls.ca === undefined ? {} : { ca: tls.ca }), ...tls.pair } as const;
  switch (server.protocol) {
    case "http":
      return createConnectTransport({ ...common, baseUrl: formatServerUrl(server), httpVersion: "1.1", useBinaryFormat: false });
    case "https":
      return createConnectTransport({ ...common, baseUrl: formatServerUrl(server), httpVersion: "1.1", useBinaryFormat: false, nodeOptions });
    case "grpc":
      return createGrpcTransport({ ...common, baseUrl: formatServerUrl({ ...server, protocol: "http" }) });
    case "grpcs":
      return createGrpcTransport({ ...common, baseUrl: formatServerUrl({ ...server, protocol: "https" }), nodeOptions });
    default:
      return assertNever(server.protocol);
  }
}

function withCredentials(credentials: Credentials | undefined): Interceptor {
  return (next) => (request) => {
    if (credentials !== undefined) request.header.set("authorization", authorizationOf(credentials));
    return next(request);
  };
}
