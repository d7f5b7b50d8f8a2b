import type { Interceptor, Transport } from "@connectrpc/connect";
import { createTransport } from "@connectrpc/connect/protocol-connect";
import { authorizationOf, type Credentials } from "../../../common/access/authorization.ts";
import { assertNever } from "../../../common/errors/assert-never.ts";
import { NebulaError } from "../../../common/errors/nebula-error.ts";
import type { Login } from "../session/resolve-login.ts";
import { formatServerUrl } from "../session/server-url.ts";
import { createHttp1Client } from "./http1-client.ts";
import { usePlainHeaders } from "./plain-headers.ts";

/** The limit of a call, milliseconds. Streams set a limit of their own. */
const CALL_TIMEOUT_MS = 30_000;

/** The protocol of the base URL, by the protocol of the server. */
const PROTOCOL_BELOW = { http: "http", https: "https", grpc: "http", grpcs: "https" } as const;

/** No compression: short answers are read sooner without. The largest message is the bound of the protocol. */
const JSON_OVER_HTTP = {
  useBinaryFormat: false,
  acceptCompression: [],
  sendCompression: null,
  compressMinBytes: 1024,
  readMaxBytes: 0xffffffff,
  writeMaxBytes: 0xffffffff,
};

/** Opens the transport to a gateway (Connect JSON) or to a manager (gRPC). Connects at the first call; an idle connection does not keep
 * the process running. */
export async function connectTo({ server, credentials, credentialsFrom, tls = {} }: Login): Promise<Transport> {
  // Checked here, because Node shows an invalid header value in its error.
  if (credentials?.kind === "token" && !/^[\x21-\x7e]+$/.test(credentials.token)) {
    throw new NebulaError(
      "invalid_argument",
      `invalid token (from ${credentialsFrom}): it contains characters that a token can't have; use printable ASCII without spaces`,
    );
  }
  usePlainHeaders();
  const common = { interceptors: [withCredentials(credentials)], defaultTimeoutMs: CALL_TIMEOUT_MS };
  const nodeOptions = { minVersion: "TLSv1.2", ...(tls.ca === undefined ? {} : { ca: tls.ca }), ...tls.pair } as const;
  const baseUrl = formatServerUrl({ ...server, protocol: PROTOCOL_BELOW[server.protocol] });
  switch (server.protocol) {
    case "http":
      return createTransport({ ...common, ...JSON_OVER_HTTP, baseUrl, httpClient: createHttp1Client() });
    case "https":
      return createTransport({ ...common, ...JSON_OVER_HTTP, baseUrl, httpClient: createHttp1Client(nodeOptions) });
    // gRPC needs HTTP/2 and all of connect-node, which a command for a gateway must not load.
    case "grpc":
      return (await import("@connectrpc/connect-node")).createGrpcTransport({ ...common, baseUrl });
    case "grpcs":
      return (await import("@connectrpc/connect-node")).createGrpcTransport({ ...common, baseUrl, nodeOptions });
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
