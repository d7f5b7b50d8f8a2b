import { codeOf } from "../../common/errors/codes.ts";
import { invalidArgument, NebulaError } from "../../common/errors/nebula-error.ts";
import type { Log } from "../../common/log/log.ts";
import { REQUEST_ID_HEADER, requestIdFrom } from "../../common/rpc/request-id.ts";
import { decoded, pathOf, Undecodable } from "../../common/rpc/service-definition.ts";
import { DEFAULT_KEEPALIVE_MS, validateWatchRequest } from "../../common/validation/watch-request.ts";
import { ConfigService, WatchConfigRequestSchema } from "../../gen/nebula/v1/config_pb.ts";
import type { Gate } from "../access/gate.ts";
import type { Connections } from "../listen/connections.ts";
import { asNebulaError } from "../rpc/as-nebula-error.ts";
import { callHeaders } from "../rpc/call-headers.ts";
import { errorStatus } from "../rpc/error-status.ts";
import type { RpcMetrics } from "../rpc/rpc-metrics.ts";
import type { WatchCall } from "./stream-slot.ts";
import type { WatchHub } from "./watch-hub.ts";

export type ServeWatchDeps = Readonly<{ hub: WatchHub; gate: Gate; connections: Connections; metrics: RpcMetrics; log: Log }>;

const METHOD = ConfigService.method.watchConfig;
const PATH = pathOf(METHOD);

/** Lets a watch in, and hands it to the hub. What it makes on the way is garbage when the hub has it: a watch lasts for months. */
export function serveWatch({ hub, gate, connections, metrics, log }: ServeWatchDeps): (call: WatchCall) => void {
  async function open(call: WatchCall): Promise<void> {
    const request = decoded(WatchConfigRequestSchema, call.request);
    if (request instanceof Undecodable)
      throw new NebulaError("invalid_argument", `the request is no ${WatchConfigRequestSchema.typeName}: ${request.reason}`);
    const peer = call.getPeer();
    const { viaPart } = await gate(METHOD, request, callHeaders(call.metadata), peer);
    const violations = validateWatchRequest(request);
    if (violations.length > 0) throw invalidArgument(violations);
    const { deviceGroup, deviceId, boot, serveHere, etag } = request;
    const keepaliveMs = request.keepaliveMs === 0 ? DEFAULT_KEEPALIVE_MS : request.keepaliveMs;
    metrics.ended(PATH, 0);
    hub.open({ call, deviceGroup, watcher: { deviceId, boot, keepaliveMs, serveHere, viaPart }, etag, connection: connections.of(peer) });
  }

  function refuse(call: WatchCall, thrown: unknown): void {
    const requestId = requestIdFrom(callHeaders(call.metadata).header(REQUEST_ID_HEADER));
    const error = asNebulaError(thrown, { method: PATH, requestId }, log);
    metrics.ended(PATH, codeOf(error.kind));
    call.emit("error", errorStatus(error));
  }

  return (call) => {
    open(call).catch((thrown) => refuse(call, thrown));
  };
}
