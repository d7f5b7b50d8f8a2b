import type { JsonObject } from "@bufbuild/protobuf";
import { assertNever } from "../../common/errors/assert-never.ts";
import type { NebulaError } from "../../common/errors/nebula-error.ts";
import type { V2Answer } from "./operation.ts";

/** A request that the gateway refuses by itself, before a manager has seen it. It is answered once the caller is known to have a login. */
export class V2Refusal extends Error {
  readonly answer: V2Answer;

  constructor(status: number, body: JsonObject, headers: Readonly<Record<string, string>> = {}) {
    super(`refused with ${status}`);
    this.answer = { status, body, headers };
  }
}

/** What v2 answers to who has no valid login; a text, unlike all else. */
export const UNAUTHORIZED = { status: 401, text: "Unauthorized Access", headers: { "www-authenticate": 'Basic realm="nebula"' } } as const;

export type RefusedAnswer = V2Answer | typeof UNAUTHORIZED;

/** The one table from the kind of an error to a status of v2. Operations answer some errors in words of their own before it comes to this. */
export function refusedAnswer(error: NebulaError): RefusedAnswer {
  switch (error.kind) {
    case "unauthenticated":
      return UNAUTHORIZED;
    case "permission_denied":
      return { status: 403, body: { access_allowed: false } };
    case "invalid_argument":
      return { status: 400, body: invalidParameters(error) };
    case "not_found":
    case "already_exists":
      return failed(403, error);
    case "failed_precondition":
    case "conflict":
      return failed(409, error);
    case "resource_exhausted":
      return failed(429, error, 1000);
    case "unavailable":
    case "cancelled":
      return failed(503, error, 1000);
    case "deadline_exceeded":
      return failed(504, error);
    case "unimplemented":
      return failed(501, error);
    case "internal":
      return failed(500, error);
    default:
      return assertNever(error.kind);
  }
}

/** What is wrong with the fields of a request, as v2 says it. */
export function invalidParameters({ violations, message }: Pick<NebulaError, "violations" | "message">): JsonObject {
  if (violations.length === 0) return { error: message };
  return { invalid_parameters: Object.fromEntries(violations.map(({ field, description }) => [field, description])) };
}

function failed(status: number, { message, retryAfterMs }: NebulaError, defaultRetryMs?: number): V2Answer {
  const retryMs = retryAfterMs ?? defaultRetryMs;
  const headers = retryMs === undefined ? {} : { "retry-after": String(Math.max(1, Math.ceil(retryMs / 1000))) };
  return { status, body: { error: message }, headers };
}
