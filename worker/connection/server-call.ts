import { create, type DescMessage, type DescMethod, fromJson, type MessageInitShape, type MessageShape, toJson } from "@bufbuild/protobuf";
import { type ErrorKind, NebulaError } from "../../common/errors/nebula-error.ts";
import type { GrpcChannel } from "../../common/rpc/grpc-channel.ts";
import { pathOf } from "../../common/rpc/service-definition.ts";
import type { ServerUrl } from "../../common/settings/settings.ts";
import type { ClientTls } from "../../common/tls/client-tls.ts";
import { postJson } from "./http.ts";

type UnaryMethod<I extends DescMessage, O extends DescMessage> = DescMethod & { methodKind: "unary"; input: I; output: O };

export type ServerCallOptions = Readonly<{
  server: ServerUrl;
  authorization: string | undefined;
  /** The channel to a manager at host:port; used when `server` is one. */
  channelTo: (address: string) => GrpcChannel;
  /** For `https://`; channels bring theirs. */
  tls: ClientTls;
  /** Milliseconds. */
  limitMs: number;
  signal: AbortSignal;
}>;

/** One call to the server that the settings name: to a manager by gRPC, to a gateway as Connect's JSON over HTTP. Rejects with NebulaErrors. */
export function callServer<I extends DescMessage, O extends DescMessage>(
  method: UnaryMethod<I, O>,
  request: MessageInitShape<I>,
  options: ServerCallOptions,
): Promise<MessageShape<O>> {
  const { server, authorization, channelTo, limitMs, signal } = options;
  const headers: Readonly<Record<string, string>> = authorization === undefined ? {} : { authorization };
  if (!isManager(server)) return callByHttp(method, request, options, headers);
  return channelTo(addressOf(server)).unary(method, request, { headers, timeoutMs: limitMs, signal });
}

/** Whether every connection, also one that a map or a redirect leads to, has to be encrypted. */
export function isSecure({ protocol }: ServerUrl): boolean {
  return protocol === "https" || protocol === "grpcs";
}

/** Whether the server is a manager; else it is a gateway. */
export function isManager({ protocol }: ServerUrl): boolean {
  return protocol === "grpc" || protocol === "grpcs";
}

/** host:port */
export function addressOf({ host, port }: ServerUrl): string {
  return `${host.includes(":") ? `[${host}]` : host}:${port}`;
}

async function callByHttp<I extends DescMessage, O extends DescMessage>(
  method: UnaryMethod<I, O>,
  request: MessageInitShape<I>,
  { server, tls, limitMs, signal }: ServerCallOptions,
  headers: Readonly<Record<string, string>>,
): Promise<MessageShape<O>> {
  const url = `${server.protocol}://${addressOf(server)}${pathOf(method)}`;
  const body = JSON.stringify(toJson(method.input, create(method.input, request)));
  const { status, text } = await postJson({ url, body, headers, tls, limitMs, signal });
  if (status !== 200) throw httpError(url, status, text);
  try {
    return fromJson(method.output, JSON.parse(text), { ignoreUnknownFields: true });
  } catch (error) {
    throw new NebulaError("unavailable", `unexpected response from ${url} (want ${method.output.name}); is this a Nebula gateway?`, { cause: error });
  }
}

/** 409 is ABORTED, too: a worker calls nothing that is answered so. */
const KIND_OF_STATUS: Readonly<Record<number, ErrorKind>> = {
  400: "invalid_argument",
  401: "unauthenticated",
  403: "permission_denied",
  409: "already_exists",
};

/** Connect sends `{"code", "message"}`; a proxy between may send a page. */
function httpError(url: string, status: number, text: string): NebulaError {
  return new NebulaError(KIND_OF_STATUS[status] ?? "unavailable", `${url} answers ${status}${messageIn(text)}`);
}

function messageIn(text: string): string {
  try {
    const body: unknown = JSON.parse(text);
    const message = typeof body === "object" && body !== null && "message" in body ? body.message : undefined;
    return typeof message === "string" ? `: ${message}` : "";
  } catch {
    return "";
  }
}
