import type { Metadata } from "@grpc/grpc-js";
import { codeOf } from "../../common/errors/codes.ts";
import { invalidArgument, NebulaError } from "../../common/errors/nebula-error.ts";
import type { Log } from "../../common/log/log.ts";
import { REQUEST_ID_HEADER, requestIdFrom } from "../../common/rpc/request-id.ts";
import { decoded, pathOf, Undecodable } from "../../common/rpc/service-definition.ts";
import { DEFAULT_KEEPALIVE_MS, validateWatchRequest } from "../../common/validation/watch-request.ts";
import { ConfigService, type WatchConfigRequest, WatchConfigRequestSchema } from "../../gen/nebula/v1/config_pb.ts";
import type { Caller, Seen } from "../access/authenticate.ts";
import type { Gate } from "../access/gate.ts";
import type { Audit } from "../audit/audit.ts";
import type { Connections } from "../listen/connections.ts";
import { asNebulaError } from "../rpc/as-nebula-error.ts";
import { callHeaders, forgetHeaders } from "../rpc/call-headers.ts";
import type { RpcMetrics } from "../rpc/rpc-metrics.ts";
import type { OpenCall, WatchCall } from "./watch-call.ts";
import type { WatchHub } from "./watch-hub.ts";

export type ServeWatchDeps = Readonly<{ hub: WatchHub; gate: Gate; audit: Audit; connections: Connections; metrics: RpcMetrics; log: Log }>;

const METHOD = ConfigService.method.watchConfig;
/** gRPC path of WatchConfig. */
export const WATCH_PATH = pathOf(METHOD);

/** Lets a watch in, and hands it to the hub. What it makes on the way is garbage when the hub has it: a watch lasts for months. */
export function serveWatch({ hub, gate, audit, connections, metrics, log }: ServeWatchDeps): OpenCall {
  function read(message: unknown): WatchConfigRequest {
    const request = decoded(WatchConfigRequestSchema, message);
    if (request instanceof Undecodable) {
      throw new NebulaError("invalid_argument", `the request is no ${WatchConfigRequestSchema.typeName}: ${request.reason}`);
    }
    return request;
  }

  function open(call: WatchCall, request: WatchConfigRequest, metadata: Metadata, { viaPart, login }: Caller): void {
    const violations = validateWatchRequest(request);
    if (violations.length > 0) throw invalidArgument(violations);
    const { deviceGroup, deviceId, boot, serveHere, etag } = request;
    const keepaliveMs = request.keepaliveMs === 0 ? DEFAULT_KEEPALIVE_MS : request.keepaliveMs;
    metrics.ended(WATCH_PATH, 0);
    forgetHeaders(metadata);
    hub.open({ call, deviceGroup, watcher: { deviceId, boot, keepaliveMs, serveHere, viaPart, login }, etag, connection: connections.of(call.peer) });
  }

  function refuse(call: WatchCall, metadata: Metadata, from: Parameters<Seen>[0] | undefined, thrown: unknown): void {
    const requestId = requestIdFrom(callHeaders(metadata).header(REQUEST_ID_HEADER));
    const error = asNebulaError(thrown, { method: WATCH_PATH, requestId }, log);
    metrics.ended(WATCH_PATH, codeOf(error.kind));
    const record = audit.begin(METHOD, { peer: call.peer, requestId });
    if (from !== undefined) record.seen(from);
    void record.ended(error); // a failed login leaves an entry
    call.fail(error);
  }

  return (call, message, metadata) => {
    let from: Parameters<Seen>[0] | undefined;
    const seen: Seen = (known) => {
      from = known;
    };
    try {
      const request = read(message);
      const caller = gate(METHOD, request, callHeaders(metadata), call.peer, seen);
      if (caller instanceof Promise)
        caller.then((known) => open(call, request, metadata, known)).catch((thrown) => refuse(call, metadata, from, thrown));
      else open(call, request, metadata, caller);
    } catch (thrown) {
      refuse(call, metadata, from, thrown);
    }
  };
}
