import { create, type DescMethod, type Message } from "@bufbuild/protobuf";
import type { Metadata } from "@grpc/grpc-js";
import { BoundedMap } from "../../common/bounded-map.ts";
import { createReadFeatures } from "../../common/config/watch-features.ts";
import { codeOf } from "../../common/errors/codes.ts";
import { assertNoViolations, isNebulaError, NebulaError } from "../../common/errors/nebula-error.ts";
import type { Log } from "../../common/log/log.ts";
import { REQUEST_ID_HEADER, requestIdFrom } from "../../common/rpc/request-id.ts";
import { decoded, pathOf, Undecodable } from "../../common/rpc/service-definition.ts";
import { DEFAULT_KEEPALIVE_MS, validateWatchRequest } from "../../common/validation/device-requests.ts";
import { ConfigService, WatchAndReportRequestSchema, type WatchConfigRequest, WatchConfigRequestSchema } from "../../gen/nebula/v1/config_pb.ts";
import type { Caller, Seen } from "../access/authenticate.ts";
import type { Gate } from "../access/gate.ts";
import { inUseElsewhere, type PresentGroups } from "../access/present-groups.ts";
import { watchNeed } from "../access/rights/method-table.ts";
import { isPermitted } from "../access/rights/permit.ts";
import type { Login } from "../access/verified-credentials.ts";
import type { Audit } from "../audit/audit.ts";
import type { Connections } from "../listen/connections.ts";
import { callHeaders, forgetHeaders } from "../rpc/call-headers.ts";
import { asNebulaError } from "../rpc/errors.ts";
import type { RpcMetrics } from "../rpc/rpc-metrics.ts";
import type { OpenCall, WatchCall } from "./watch-call.ts";
import type { WatchHub } from "./watch-hub.ts";

export type ServeWatchDeps = Readonly<{
  hub: WatchHub;
  gate: Gate;
  audit: Audit;
  connections: Connections;
  presentGroups: Pick<PresentGroups, "of">;
  metrics: RpcMetrics;
  log: Log;
}>;

/** Versions of workers that are shared among their watches. */
const MOST_VERSIONS = 64;
const { watchConfig, watchAndReport } = ConfigService.method;
/** gRPC paths of the methods that open watches. */
export const WATCH_PATHS = [pathOf(watchConfig), pathOf(watchAndReport)] as const;

/**
 * Authenticates a watch, and hands it to the hub. Keeps nothing of the watch afterwards: a watch lasts for months. The request that opens a watch of
 * WatchAndReport is that of WatchConfig, and needs its rights; metrics and the audit log name the method that was called.
 */
export function serveWatch({ hub, gate, audit, connections, presentGroups, metrics, log }: ServeWatchDeps): OpenCall {
  const readFeatures = createReadFeatures();
  /** Versions that workers named: a watch keeps the text that others of its version keep. */
  const versions = new BoundedMap<string, string>(MOST_VERSIONS);

  function read(message: unknown): WatchConfigRequest {
    if (isNebulaError(message)) throw message;
    const request = decoded(WatchConfigRequestSchema, message);
    if (request instanceof Undecodable) {
      throw new NebulaError("invalid_argument", `the request is not a valid ${WatchConfigRequestSchema.typeName}: ${request.reason}`);
    }
    return request;
  }

  /** Opens the watch, at once unless it meets another caller's watch of the same device and boot (watch-hub.ts ends that one). */
  function open(call: WatchCall, request: WatchConfigRequest, metadata: Metadata, caller: Caller): void | Promise<void> {
    const violations = validateWatchRequest(request);
    assertNoViolations(violations);
    const { deviceGroup, deviceId, boot } = request;
    const first = hub.watchOf(deviceId, boot);
    const second = { login: caller.login, deviceGroup };
    const isFree = first === undefined || mayReplace({ login: first.watcher.login, deviceGroup: first.group.name }, second, deviceId);
    if (isFree) handOver(call, request, metadata, caller);
    else return assertAtHome(second, deviceId, presentGroups, call.opening).then(() => handOver(call, request, metadata, caller));
  }

  function handOver(call: WatchCall, request: WatchConfigRequest, metadata: Metadata, { viaPart, peer, login }: Caller): void {
    const { deviceGroup, deviceId, boot, serveHere, etag } = request;
    const keepaliveMs = request.keepaliveMs === 0 ? DEFAULT_KEEPALIVE_MS : request.keepaliveMs;
    const workerVersion = versions.use(request.workerVersion) ?? request.workerVersion;
    versions.set(workerVersion, workerVersion);
    metrics.ended(pathOf(call.method), 0);
    forgetHeaders(metadata);
    call.reportsBy({ login, viaPart, peer });
    const watcher = { deviceId, boot, keepaliveMs, serveHere, viaPart, features: readFeatures(request.features), workerVersion, login };
    hub.open({ call, deviceGroup, watcher, etag, connection: connections.of(call.peer) });
  }

  function refuse(call: WatchCall, message: unknown, metadata: Metadata, from: Parameters<Seen>[0] | undefined, thrown: unknown): void {
    const requestId = requestIdFrom(callHeaders(metadata).header(REQUEST_ID_HEADER));
    const path = pathOf(call.method);
    const error = asNebulaError(thrown, { method: path, requestId }, log);
    metrics.ended(path, codeOf(error.kind));
    const record = audit.begin(call.method, { peer: call.peer, requestId });
    if (from !== undefined) record.seen(from);
    if (error.audited) record.asked(requestOf(call.method, read(message)));
    void record.ended(error); // a failed login leaves an entry, and so does a refusal to end another's watch
    call.fail(error);
  }

  return (call, message, metadata) => {
    let from: Parameters<Seen>[0] | undefined;
    const seen: Seen = (known) => {
      from = known;
    };
    try {
      const request = read(message);
      const caller = gate(watchConfig, request, callHeaders(metadata), call.peer, seen, () => call.opening);
      const opening =
        caller instanceof Promise ? caller.then((known) => open(call, request, metadata, known)) : open(call, request, metadata, caller);
      opening?.catch((thrown) => refuse(call, message, metadata, from, thrown));
    } catch (thrown) {
      refuse(call, message, metadata, from, thrown);
    }
  };
}

/** Returns the request of a method that opens this watch. */
function requestOf(method: DescMethod, watch: WatchConfigRequest): Message {
  return method === watchAndReport ? create(WatchAndReportRequestSchema, { request: { case: "watch", value: watch } }) : watch;
}

/** A watch, as far as it matters to another one of the same device and boot. */
type Rival = Readonly<{ login: Login; deviceGroup: string }>;

/**
 * Whether a watch may end the first one of its device and boot: with the credential of the first, or with rights on the
 * group of the first.
 */
function mayReplace(first: Rival, second: Rival, deviceId: string): boolean {
  const isSame = first.login === second.login || (first.login.id !== "" && first.login.id === second.login.id);
  return isSame || isPermitted(second.login.verified.principal, watchNeed(first.deviceGroup, deviceId), true);
}

/**
 * Rejects with `permission_denied` unless the second watch is in the group that the device is in: then the first one,
 * which is elsewhere, keeps no device out that comes back to its own group.
 */
async function assertAtHome(second: Rival, deviceId: string, presentGroups: Pick<PresentGroups, "of">, signal: AbortSignal): Promise<void> {
  const present = await presentGroups.of(deviceId, signal);
  if (present?.deviceGroup !== second.deviceGroup) throw inUseElsewhere(deviceId);
}
