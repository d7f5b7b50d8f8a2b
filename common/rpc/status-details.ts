import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { type Any, anyPack, anyUnpack, durationFromMs, durationMs } from "@bufbuild/protobuf/wkt";
import { BadRequestSchema, RetryInfoSchema } from "../../gen/google/rpc/error_details_pb.ts";
import { StatusSchema } from "../../gen/google/rpc/status_pb.ts";
import { codeOf, kindOf } from "../errors/codes.ts";
import { NebulaError, type Violation } from "../errors/nebula-error.ts";

/** The trailer in which gRPC carries an encoded google.rpc.Status. */
export const STATUS_DETAILS_KEY = "grpc-status-details-bin";

/** Encodes an error with its violations and its retry time as google.rpc.Status; undefined when the code and message say it all. */
export function encodeStatusDetails(error: NebulaError): Uint8Array | undefined {
  const details = [...violationDetails(error), ...retryDetails(error)];
  if (details.length === 0) return undefined;
  return toBinary(StatusSchema, create(StatusSchema, { code: codeOf(error.kind), message: error.message, details }));
}

function violationDetails({ violations }: NebulaError): Any[] {
  if (violations.length === 0) return [];
  return [anyPack(BadRequestSchema, create(BadRequestSchema, { fieldViolations: violations.map((v) => ({ ...v })) }))];
}

function retryDetails({ retryAfterMs }: NebulaError): Any[] {
  if (retryAfterMs === undefined) return [];
  return [anyPack(RetryInfoSchema, create(RetryInfoSchema, { retryDelay: durationFromMs(Math.ceil(retryAfterMs)) }))];
}

/** Reads the retry time of an encoded google.rpc.Status, milliseconds; undefined if it holds none that can be read. */
export function decodeRetryAfter(bytes: Uint8Array | undefined): number | undefined {
  if (bytes === undefined) return undefined;
  try {
    for (const any of fromBinary(StatusSchema, bytes).details) {
      const delay = anyUnpack(any, RetryInfoSchema)?.retryDelay;
      if (delay !== undefined) return durationMs(delay);
    }
  } catch {}
  return undefined;
}

/** Reads the violations of an encoded google.rpc.Status; those that can't be read are left out. */
export function decodeViolations(bytes: Uint8Array | undefined): Violation[] {
  if (bytes === undefined) return [];
  try {
    return fromBinary(StatusSchema, bytes).details.flatMap((any) => {
      const badRequest = anyUnpack(any, BadRequestSchema);
      return (badRequest?.fieldViolations ?? []).map(({ field, description }) => ({ field, description }));
    });
  } catch {
    return [];
  }
}

/** The error that a peer's code, message and encoded details stand for. */
export function errorFromStatus(code: number, message: string, details: Uint8Array | undefined): NebulaError {
  return new NebulaError(kindOf(code), message, { violations: decodeViolations(details), retryAfterMs: decodeRetryAfter(details) });
}
