import type { ServerResponse } from "node:http";
import { durationFromMs } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError } from "@connectrpc/connect";
import { codeToHttpStatus, errorToJson } from "@connectrpc/connect/protocol-connect";
import { codeOf } from "../../common/errors/codes.ts";
import { isNebulaError, messageOf, type NebulaError } from "../../common/errors/nebula-error.ts";
import { sendJson } from "../../common/http/send.ts";
import type { Log } from "../../common/log/log.ts";
import { BadRequestSchema, RetryInfoSchema } from "../../gen/google/rpc/error_details_pb.ts";
import { JSON_OPTIONS } from "./exchange.ts";

/** The error as Connect sends it: violations as google.rpc.BadRequest, the retry time as google.rpc.RetryInfo, decoded, so that its JSON shows them in `debug` and not as base64 alone. */
function toConnectError({ kind, message, violations, retryAfterMs }: NebulaError): ConnectError {
  const badRequest = { desc: BadRequestSchema, value: { fieldViolations: violations.map((violation) => ({ ...violation })) } };
  const retry = retryAfterMs === undefined ? [] : [{ desc: RetryInfoSchema, value: { retryDelay: durationFromMs(Math.ceil(retryAfterMs)) } }];
  return new ConnectError(message, codeOf(kind), undefined, [...(violations.length === 0 ? [] : [badRequest]), ...retry]);
}

/** Any thrown value as Connect sends it. An unhandled error is `internal` with the id under which the log has it. */
export function asConnectError(thrown: unknown, requestId: string, log: Log): ConnectError {
  if (thrown instanceof ConnectError) return thrown;
  if (isNebulaError(thrown)) return toConnectError(thrown);
  log.error({ requestId, error: messageOf(thrown), stack: thrown instanceof Error ? thrown.stack : undefined }, "unhandled error in call");
  return new ConnectError(`internal error; the gateway's log has it under ${requestId}`, Code.Internal);
}

/** The JSON of an error, as Connect writes it: code, message, details. */
export function errorJson(error: ConnectError): unknown {
  return errorToJson(error, JSON_OPTIONS);
}

/** Answers with an error, in Connect's JSON and with its HTTP status, or another one. */
export function sendError(response: ServerResponse, error: ConnectError, status: number = codeToHttpStatus(error.code)): void {
  sendJson(response, status, errorJson(error));
}
