import { Metadata } from "@grpc/grpc-js";
import { codeOf } from "../../common/errors/codes.ts";
import { NebulaError, type Violation } from "../../common/errors/nebula-error.ts";
import { encodeStatusDetails, STATUS_DETAILS_KEY } from "../../common/rpc/status-details.ts";

/** How grpc-js takes an error of a handler. */
export type ErrorStatus = { code: number; details: string; metadata: Metadata };

/** Trailers are headers, and clients refuse long ones (8 KiB is the smallest limit in use): the message and the violations share this many bytes. */
const MESSAGE_LIMIT = 1024;
const DETAILS_LIMIT = 4096;

/** The status that a NebulaError goes out as, with as many of its violations as fit. */
export function errorStatus(error: NebulaError): ErrorStatus {
  const metadata = new Metadata();
  const details = fittingDetails(error);
  if (details !== undefined) metadata.set(STATUS_DETAILS_KEY, Buffer.from(details));
  return { code: codeOf(error.kind), details: shorten(error.message), metadata };
}

function fittingDetails(error: NebulaError): Uint8Array | undefined {
  const message = shorten(error.message);
  for (let kept = error.violations.length; kept > 0; kept >>= 1) {
    const violations: Violation[] = error.violations.slice(0, kept).map(({ field, description }) => ({ field, description: shorten(description) }));
    const encoded = encodeStatusDetails(new NebulaError(error.kind, message, { violations }));
    if (encoded !== undefined && encoded.length <= DETAILS_LIMIT) return encoded;
  }
  return undefined;
}

/** grpc-js percent-encodes the message, which throws on half a surrogate pair. */
function shorten(message: string): string {
  return (message.length <= MESSAGE_LIMIT ? message : `${message.slice(0, MESSAGE_LIMIT - 3)}...`).toWellFormed();
}
