import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { anyPack, anyUnpack } from "@bufbuild/protobuf/wkt";
import { BadRequestSchema } from "../../gen/google/rpc/error_details_pb.ts";
import { StatusSchema } from "../../gen/google/rpc/status_pb.ts";
import { codeOf, kindOf } from "../errors/codes.ts";
import { NebulaError, type Violation } from "../errors/nebula-error.ts";

/** The trailer in which gRPC carries an encoded google.rpc.Status. */
export const STATUS_DETAILS_KEY = "grpc-status-details-bin";

/** Encodes an error with its violations as google.rpc.Status; undefined when the code and message say it all. */
export function encodeStatusDetails(error: NebulaError): Uint8Array | undefined {
  if (error.violations.length === 0) return undefined;
  const details = anyPack(BadRequestSchema, create(BadRequestSchema, { fieldViolations: error.violations.map((v) => ({ ...v })) }));
  return toBinary(StatusSchema, create(StatusSchema, { code: codeOf(error.kind), message: error.message, details: [details] }));
}

/** Reads an encoded google.rpc.Status; what can't be read is no violation. */
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
  return new NebulaError(kindOf(code), message, { violations: decodeViolations(details) });
}
