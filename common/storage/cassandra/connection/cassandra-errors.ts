import { errors, types } from "cassandra-driver";
import { isNebulaError, messageOf, NebulaError } from "../../../errors/nebula-error.ts";

const { responseErrorCodes: codes } = types;
/** Answers that say that a statement is wrong: the program's fault, which no later try repairs. */
const OUR_FAULTS: readonly number[] = [codes.syntaxError, codes.invalid, codes.configError, codes.alreadyExists, codes.protocolError];

/**
 * The error as callers get it: what the backend or the way to it is to blame for is `unavailable`, a login without rights `failed_precondition`; anything else
 * passes unchanged.
 */
export function mappedError(error: unknown): unknown {
  if (isNebulaError(error) || !isBackendError(error)) return error;
  if (error instanceof errors.ResponseError && error.code === codes.unauthorized) {
    return new NebulaError("failed_precondition", `the login of the store lacks a right: ${messageOf(error)}`, { cause: error });
  }
  return new NebulaError("unavailable", `the store answers: ${messageOf(error)}`, { cause: error });
}

/** Whether the backend, or the connection to it, is to blame. */
export function isBackendError(error: unknown): boolean {
  if (error instanceof errors.ResponseError) return !OUR_FAULTS.includes(error.code);
  if (error instanceof errors.ArgumentError || error instanceof errors.NotSupportedError || error instanceof errors.VIntOutOfRangeException)
    return false;
  return error instanceof errors.DriverError || isSocketError(error);
}

/** Whether the request certainly did not reach a coordinator: no coordinator was available. */
export function wasNotSent(error: unknown): boolean {
  return error instanceof errors.NoHostAvailableError || error instanceof errors.BusyConnectionError;
}

/** Why no connection could be opened, if it is for good: a login that is refused, a keyspace or data center that does not exist. */
export function refusedForGood(error: unknown): "login" | "keyspace" | "data_center" | undefined {
  const found = error instanceof errors.NoHostAvailableError ? Object.values(error.innerErrors ?? {}) : [error];
  for (const inner of found) {
    if (inner instanceof errors.AuthenticationError) return "login";
    if (inner instanceof errors.ArgumentError) return "data_center"; // of LocalPolicy: the driver's own are not found while it connects
    if (inner instanceof errors.ResponseError && inner.code === codes.badCredentials) return "login";
    if (inner instanceof errors.ResponseError && inner.code === codes.invalid && /keyspace/i.test(inner.message)) return "keyspace";
  }
  return undefined;
}

/** The driver marks what its sockets throw. */
function isSocketError(error: unknown): boolean {
  return error instanceof Error && ("isSocketError" in error || ("code" in error && typeof error.code === "string" && error.code.startsWith("E")));
}
