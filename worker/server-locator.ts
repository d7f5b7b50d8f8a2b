import { create, fromJson, toJson } from "@bufbuild/protobuf";
import { type ErrorKind, messageOf, NebulaError } from "../common/errors/nebula-error.ts";
import type { GrpcChannel } from "../common/rpc/grpc-channel.ts";
import { pathOf } from "../common/rpc/service-definition.ts";
import type { ServerUrl } from "../common/settings/settings.ts";
import { GetShardMapRequestSchema, type GetShardMapResponse, GetShardMapResponseSchema, ShardService } from "../gen/nebula/v1/shard_pb.ts";
import { postJson } from "./server-locator-http.ts";
import { isAddress, refusal } from "./watch-attempt.ts";
import type { LocateOutcome } from "./watch-moves.ts";

const METHOD = ShardService.method.getShardMap;

export type LocateOptions = Readonly<{
  server: ServerUrl;
  deviceGroup: string;
  deviceId: string;
  authorization: string | undefined;
  /** The channel to a manager at host:port; used when `server` is one. */
  channelTo: (address: string) => GrpcChannel;
  /** PEM of the authorities to trust; undefined: the system's. */
  rootCertificates: Buffer | undefined;
  /** Milliseconds. */
  limitMs: number;
  signal: AbortSignal;
}>;

/**
 * Asks the server, a gateway or a manager, for the shards, this device's own first. A manager that was given by its own address comes last even where the
 * map does not hold that address: an advertised name may mean nothing on this device. Rejects only when the signal is aborted.
 */
export async function locateShards(options: LocateOptions): Promise<LocateOutcome> {
  try {
    const { shards } = await shardMap(options);
    const given = isManager(options.server) ? [addressOf(options.server)] : [];
    const addresses = [...new Set([...shards.map(({ address }) => address).filter(isAddress), ...given])];
    return { kind: "located", addresses };
  } catch (error) {
    options.signal.throwIfAborted();
    return refusal(error) ?? { kind: "unreachable", reason: messageOf(error) };
  }
}

/** Whether every connection, also one that a map or a redirect leads to, has to be encrypted. */
export function isSecure({ protocol }: ServerUrl): boolean {
  return protocol === "https" || protocol === "grpcs";
}

function isManager({ protocol }: ServerUrl): boolean {
  return protocol === "grpc" || protocol === "grpcs";
}

function addressOf({ host, port }: ServerUrl): string {
  return `${host.includes(":") ? `[${host}]` : host}:${port}`;
}

function shardMap(options: LocateOptions): Promise<Pick<GetShardMapResponse, "shards">> {
  const { server, deviceGroup, deviceId, authorization, channelTo, limitMs, signal } = options;
  const headers: Readonly<Record<string, string>> = authorization === undefined ? {} : { authorization };
  if (!isManager(server)) return shardMapByHttp(options, headers);
  return channelTo(addressOf(server)).unary(METHOD, { deviceGroup, deviceId }, { headers, timeoutMs: limitMs, signal });
}

async function shardMapByHttp(options: LocateOptions, headers: Readonly<Record<string, string>>): Promise<GetShardMapResponse> {
  const { server, deviceGroup, deviceId, rootCertificates, limitMs, signal } = options;
  const url = `${server.protocol}://${addressOf(server)}${pathOf(METHOD)}`;
  const body = JSON.stringify(toJson(GetShardMapRequestSchema, create(GetShardMapRequestSchema, { deviceGroup, deviceId })));
  const { status, text } = await postJson({ url, body, headers, rootCertificates, limitMs, signal });
  if (status !== 200) throw httpError(url, status, text);
  try {
    return fromJson(GetShardMapResponseSchema, JSON.parse(text), { ignoreUnknownFields: true });
  } catch (error) {
    throw new NebulaError("unavailable", `${url} answers what is no shard map: is it a gateway of Nebula?`, { cause: error });
  }
}

const KIND_OF_STATUS: Readonly<Record<number, ErrorKind>> = { 400: "invalid_argument", 401: "unauthenticated", 403: "permission_denied" };

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
