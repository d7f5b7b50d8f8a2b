import { create, type DescMethod, fromBinary, toBinary } from "@bufbuild/protobuf";
import type { ServerDuplexStream } from "@grpc/grpc-js";
import { codeOf } from "../../../common/errors/codes.ts";
import { NebulaError } from "../../../common/errors/nebula-error.ts";
import { REQUEST_ID_HEADER, requestIdFrom } from "../../../common/rpc/request-id.ts";
import { decoded, pathOf, Undecodable } from "../../../common/rpc/service-definition.ts";
import { ServerReflectionRequestSchema, ServerReflectionResponseSchema } from "../../../gen/grpc/reflection/v1/reflection_pb.ts";
import { callHeaders } from "../../rpc/call-headers.ts";
import { asNebulaError, errorStatus } from "../../rpc/errors.ts";
import type { RpcDeps } from "../../rpc/serve-unary.ts";
import type { ReflectionIndex } from "./reflection-index.ts";

type Call = ServerDuplexStream<unknown, unknown>;

/** Serves server reflection to any caller with a valid credential. v1 and v1alpha are the same bytes under two names: all are answered as v1's. */
export function serveReflection(
  method: DescMethod,
  index: ReflectionIndex,
  { gate, audit, metrics, log }: Omit<RpcDeps, "clock">,
): (call: Call) => void {
  const path = pathOf(method);

  async function open(call: Call): Promise<void> {
    const headers = callHeaders(call.metadata);
    const requestId = requestIdFrom(headers.header(REQUEST_ID_HEADER));
    const record = audit.begin(method, { peer: call.getPeer(), requestId });
    try {
      await gate(method, undefined, headers, call.getPeer(), record.seen);
    } catch (thrown) {
      const error = asNebulaError(thrown, { method: path, requestId }, log);
      void record.ended(error); // a failed login leaves an entry
      fail(call, error);
      return;
    }
    metrics.ended(path, 0);
    call.on("data", (value: unknown) => answer(call, value));
    call.on("end", () => call.end());
  }

  function answer(call: Call, value: unknown): void {
    const given = decoded(method.input, value);
    if (given instanceof Undecodable) {
      fail(call, new NebulaError("invalid_argument", `the request is not a valid ${method.input.typeName}: ${given.reason}`));
      return;
    }
    const request = fromBinary(ServerReflectionRequestSchema, toBinary(method.input, given));
    const response = create(ServerReflectionResponseSchema, {
      validHost: request.host,
      originalRequest: request,
      messageResponse: index.answer(request),
    });
    if (call.write(toBinary(ServerReflectionResponseSchema, response))) return;
    call.pause(); // what waits to be sent is bounded
    call.once("drain", () => call.resume());
  }

  function fail(call: Call, error: NebulaError): void {
    metrics.ended(path, codeOf(error.kind));
    call.removeAllListeners("data");
    call.emit("error", errorStatus(error));
  }

  return (call) => void open(call);
}
