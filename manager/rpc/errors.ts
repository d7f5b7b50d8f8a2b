import { Metadata } from "@grpc/grpc-js";
import { codeOf } from "../../common/errors/codes.ts";
import { isNebulaError, NebulaError, type Violation } from "../../common/errors/nebula-error.ts";
import type { Log } from "../../common/log/log.ts";
import { encodeStatusDetails, STATUS_DETAILS_KEY } from "../../common/rpc/status-details.ts";

/** The error that a caller gets. An exception other than NebulaError becomes `internal` with the id of the call; its cause is in the log under that id. */
export function asNebulaError(error: unknown, call: { method: string; requestId: string }, log: Log): NebulaError {
  if (isNebulaError(error)) return error;
  log.error({ err: error, ...call }, "unhandled error in call");
  return new NebulaError("internal", `internal error; the manager's log has its cause under the id ${call.requestId}`);
}

/** An error of a handler, as grpc-js accepts it. */
export type ErrorStatus = { code: number; details: string; metadata: Metadata };

/** Trailers are headers, and clients refuse long ones: 8 KiB is the smallest limit in use, for all of them as they travel. */
const MESSAGE_LIMIT = 3072;
const DETAILS_LIMIT = 3072;

/** Converts a NebulaError to a status, with its retry time, and as many of its violations as fit. */
export function errorStatus(error: NebulaError): ErrorStatus {
  const metadata = new Metadata();
  const details = fittingDetails(error);
  if (details !== undefined) metadata.set(STATUS_DETAILS_KEY, Buffer.from(details));
  return { code: codeOf(error.kind), details: shorten(error.message), metadata };
}

function fittingDetails(error: NebulaError): Uint8Array | undefined {
  const message = shorten(error.message);
  const { retryAfterMs } = error;
  for (let kept = error.violations.length; kept > 0 || retryAfterMs !== undefined; kept >>= 1) {
    const violations: Violation[] = error.violations.slice(0, kept).map(({ field, description }) => ({ field, description: shorten(description) }));
    const encoded = encodeStatusDetails(new NebulaError(error.kind, message, { violations, retryAfterMs }));
    if (encoded !== undefined && (encoded.length <= DETAILS_LIMIT || kept === 0)) return encoded;
  }
  return undefined;
}

/** The message, or as much of its beginning as fits when it is percent-encoded, which grpc-js does (and which throws on half a surrogate pair). */
function shorten(message: string): string {
  const whole = message.toWellFormed();
  if (whole.length <= MESSAGE_LIMIT && encodeURI(whole).length <= MESSAGE_LIMIT) return whole;
  let kept = Math.min(whole.length, MESSAGE_LIMIT - 3);
  while (encodeURI(`${whole.slice(0, kept)}...`.toWellFormed()).length > MESSAGE_LIMIT) kept = Math.floor(kept * 0.75);
  return `${whole.slice(0, kept)}...`.toWellFormed();
}
