import { create, type DescMessage, type DescMethod, type Message, type MessageInitShape } from "@bufbuild/protobuf";
import type { handleUnaryCall, ServerUnaryCall } from "@grpc/grpc-js";
import type { Clock } from "../../common/clock/clock.ts";
import { codeOf } from "../../common/errors/codes.ts";
import { NebulaError } from "../../common/errors/nebula-error.ts";
import type { Log } from "../../common/log/log.ts";
import { REQUEST_ID_HEADER, requestIdFrom } from "../../common/rpc/request-id.ts";
import { decoded, pathOf, Undecodable } from "../../common/rpc/service-definition.ts";
import type { Gate } from "../access/gate.ts";
import type { Audit } from "../audit/audit.ts";
import type { CallRecord } from "../audit/call-record.ts";
import type { CallContext } from "./call-context.ts";
import { callHeaders } from "./call-headers.ts";
import { asNebulaError, errorStatus } from "./errors.ts";
import { letGoOfCall } from "./finished-call.ts";
import type { RpcMetrics } from "./rpc-metrics.ts";

/** A handler of any unary method. Its request is of the method's input, which the decoder guarantees; hence the bivariant parameter. */
export type AnyUnaryHandler = { handle(request: Message, context: CallContext): Promise<MessageInitShape<DescMessage>> }["handle"];

export type RpcDeps = Readonly<{ gate: Gate; audit: Audit; metrics: RpcMetrics; clock: Clock; log: Log }>;

/**
 * The one way from grpc-js into every unary handler: decode, let in, handle, and turn what was thrown into a status. The entry of the
 * audit log is stored before the answer.
 */
export function serveUnary(
  method: DescMethod,
  handler: AnyUnaryHandler,
  { gate, audit, metrics, clock, log }: RpcDeps,
): handleUnaryCall<unknown, unknown> {
  const path = pathOf(method);

  /** @param from address and port of the connection */
  async function answer(
    call: ServerUnaryCall<unknown, unknown>,
    from: string,
    record: CallRecord,
    requestId: string,
    signal: AbortSignal,
  ): Promise<Message> {
    const request = decoded(method.input, call.request);
    if (request instanceof Undecodable)
      throw new NebulaError("invalid_argument", `the request is not a valid ${method.input.typeName}: ${request.reason}`);
    record.asked(request);
    const { principal, login, peer } = await gate(method, request, callHeaders(call.metadata), from, record.seen, () => signal);
    const context = { principal, source: login.verified.source, signal, peer, requestId, changed: record.changed };
    const response = create(method.output, await handler(request, context));
    await record.ended();
    return response;
  }

  return (call, callback) => {
    const started = clock.monotonic();
    const requestId = requestIdFrom(callHeaders(call.metadata).header(REQUEST_ID_HEADER));
    const from = call.getPeer(); // HTTP/2 puts it together at each question
    const record = audit.begin(method, { peer: from, requestId });
    const gone = new AbortController();
    let isAnswered = false;
    call.on("cancelled", () => {
      // grpc-js emits it after each answer, too
      if (!isAnswered) gone.abort(new NebulaError("cancelled", "the caller went away, or its deadline passed"));
    });
    answer(call, from, record, requestId, gone.signal).then(
      (response) => {
        isAnswered = true;
        metrics.ended(path, 0, (clock.monotonic() - started) / 1000);
        callback(null, response);
        letGoOfCall(call);
      },
      async (thrown) => {
        const error = asNebulaError(gone.signal.aborted ? gone.signal.reason : thrown, { method: path, requestId }, log);
        await record.ended(error);
        metrics.ended(path, codeOf(error.kind), (clock.monotonic() - started) / 1000);
        callback(errorStatus(error));
        letGoOfCall(call);
      },
    );
  };
}
