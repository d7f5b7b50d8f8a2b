import type { DescMethod, DescMethodServerStreaming, DescMethodUnary, DescService, Message } from "@bufbuild/protobuf";
import { Code, ConnectError, createConnectRouter, type HandlerContext } from "@connectrpc/connect";
import type { UniversalHandler } from "@connectrpc/connect/protocol";
import { FORWARDED_FOR_HEADER, FORWARDER_TOKEN_HEADER, forwarderToken, PART_TOKEN_HEADER } from "../../common/access/part-token.ts";
import { NebulaError } from "../../common/errors/nebula-error.ts";
import type { Log } from "../../common/log/log.ts";
import { REQUEST_ID_HEADER } from "../../common/rpc/request-id.ts";
import { Health } from "../../gen/grpc/health/v1/health_pb.ts";
import { AccessService } from "../../gen/nebula/v1/access_pb.ts";
import { AppService } from "../../gen/nebula/v1/app_pb.ts";
import { ApplyService } from "../../gen/nebula/v1/apply_pb.ts";
import { AuditService } from "../../gen/nebula/v1/audit_pb.ts";
import { ConfigService } from "../../gen/nebula/v1/config_pb.ts";
import { CronJobService } from "../../gen/nebula/v1/cron_job_pb.ts";
import { DeviceGroupService } from "../../gen/nebula/v1/device_group_pb.ts";
import { DeviceService } from "../../gen/nebula/v1/device_pb.ts";
import { DriftService } from "../../gen/nebula/v1/drift_pb.ts";
import { ExplainService } from "../../gen/nebula/v1/explain_pb.ts";
import { FleetService } from "../../gen/nebula/v1/fleet_pb.ts";
import { HistoryService } from "../../gen/nebula/v1/history_pb.ts";
import { PlanService } from "../../gen/nebula/v1/plan_pb.ts";
import { ReportService } from "../../gen/nebula/v1/report_pb.ts";
import { ShardService } from "../../gen/nebula/v1/shard_pb.ts";
import { StatusService } from "../../gen/nebula/v1/status_pb.ts";
import { UserGroupService } from "../../gen/nebula/v1/user_group_pb.ts";
import { UserService } from "../../gen/nebula/v1/user_pb.ts";
import { asConnectError } from "../http/errors.ts";
import { type Caller, callerKey, JSON_OPTIONS } from "../http/exchange.ts";
import type { ManagerPool } from "../managers/manager-pool.ts";
import { messageKey } from "./decode-request.ts";

/** How long a manager may take for a unary call, milliseconds. A caller may ask for less. */
const UNARY_MS = 60_000;

/** The longest deadline that a caller may ask for, milliseconds: a timer can't be set beyond 24 days. */
export const LONGEST_MS = 7 * 86_400_000;

export type ForwarderOptions = Readonly<{
  pool: ManagerPool;
  partToken: string;
  /** Aborted when the gateway stops: streams end then, other calls finish. */
  stopping: AbortSignal;
  log: Log;
}>;

/** A call as its HTTP request brings it, besides the message. */
export type IncomingCall = Readonly<{
  caller: Caller;
  authorization: string | null;
  signal: AbortSignal;
  /** The caller's deadline, milliseconds from now. */
  timeoutMs: number | undefined;
}>;

export type Forwarder = Readonly<{
  /** A handler for every method of the API, which speaks Connect and gRPC-Web. */
  handlers: readonly UniversalHandler[];
  /** The messages of one server stream. Rejects with ConnectErrors. */
  stream(method: DescMethodServerStreaming, request: Message, call: IncomingCall): AsyncGenerator<Message, void>;
}>;

/** Forwards every method of the API, none of which it knows: the message goes to a manager, and its answer comes back. */
export function createForwarder({ pool, partToken, stopping, log }: ForwarderOptions): Forwarder {
  async function unary(method: DescMethodUnary, request: Message, call: IncomingCall): Promise<Message> {
    try {
      const headers = forwardHeaders(call.authorization, call.caller, partToken);
      return await pool.unary(method, request, { signal: call.signal, headers, timeoutMs: Math.min(UNARY_MS, call.timeoutMs ?? UNARY_MS) });
    } catch (error) {
      throw failure(error, call);
    }
  }

  async function* stream(method: DescMethodServerStreaming, request: Message, call: IncomingCall): AsyncGenerator<Message, void> {
    try {
      const headers = forwardHeaders(call.authorization, call.caller, partToken);
      const signal = AbortSignal.any([call.signal, stopping]);
      yield* pool.serverStream(method, request, { signal, headers, ...(call.timeoutMs === undefined ? {} : { timeoutMs: call.timeoutMs }) });
    } catch (error) {
      throw stopping.aborted ? new ConnectError("the gateway is stopping: call again", Code.Unavailable) : failure(error, call);
    }
  }

  /** Returns the error of a failed call. A passed deadline ends the call at the manager as the caller's disconnect does; the signal tells which. */
  function failure(error: unknown, { signal, caller }: IncomingCall): ConnectError {
    return asConnectError(signal.reason instanceof ConnectError ? signal.reason : error, caller.requestId, log);
  }

  const router = createConnectRouter({
    grpc: false, // it needs HTTP/2; the managers speak it
    jsonOptions: JSON_OPTIONS,
    maxTimeoutMs: LONGEST_MS,
    acceptCompression: [], // a compressed stream costs memory per device, and a compressed request may hide any size
  });
  for (const method of API_SERVICES.flatMap((service) => service.methods)) {
    // Streams of requests (WatchAndReport, reflection) are the managers' own: connect-routes.ts says so.
    if (isUnary(method)) router.rpc(method, (request, context) => unary(method, messageOf(request, context), incomingCall(context)));
    if (isServerStream(method)) router.rpc(method, (request, context) => stream(method, messageOf(request, context), incomingCall(context)));
  }
  return { handlers: router.handlers, stream };
}

/** The message as decode-request.ts decoded it. Only a GET has none there: Connect decodes the message in its query. */
function messageOf(request: Message, context: HandlerContext): Message {
  return context.values.get(messageKey) ?? request;
}

function incomingCall(context: HandlerContext): IncomingCall {
  return {
    caller: context.values.get(callerKey),
    authorization: context.requestHeader.get("authorization"),
    signal: context.signal,
    timeoutMs: context.timeoutMs(),
  };
}

function isUnary(method: DescMethod): method is DescMethodUnary {
  return method.methodKind === "unary";
}

/** Whether a method answers a stream. */
export function isServerStream(method: DescMethod): method is DescMethodServerStreaming {
  return method.methodKind === "server_streaming";
}

/**
 * The headers of a forwarded call: the caller's Authorization unchanged, and beside it the part token, with which the manager believes the caller's address.
 * Without an Authorization the part token stays here: alone it would give the caller the rights of a part. The address
 * goes along all the same, with a token that has it believed and gives no rights: the manager's audit log has it, and
 * one whose authentication is off learns that the call is not of its own machine.
 * @throws NebulaError unauthenticated when the Authorization can't be a valid one
 */
export function forwardHeaders(authorization: string | null, { address, requestId }: Caller, partToken: string): Readonly<Record<string, string>> {
  const from = { [REQUEST_ID_HEADER]: requestId, [FORWARDED_FOR_HEADER]: address };
  if (authorization === null || authorization.trim() === "") return { ...from, [FORWARDER_TOKEN_HEADER]: forwarderToken(partToken) };
  if (!/^[ -~]*$/.test(authorization))
    throw new NebulaError("unauthenticated", "the authorization header holds characters other than printable ASCII");
  return { ...from, authorization, [PART_TOKEN_HEADER]: partToken };
}

/** Every service that the gateway forwards: all of Nebula's, and the managers' health. */
export const API_SERVICES: readonly DescService[] = [
  AppService,
  CronJobService,
  DeviceGroupService,
  HistoryService,
  ConfigService,
  ReportService,
  ApplyService,
  DeviceService,
  DriftService,
  ExplainService,
  FleetService,
  PlanService,
  ShardService,
  StatusService,
  UserService,
  UserGroupService,
  AccessService,
  AuditService,
  Health,
];
