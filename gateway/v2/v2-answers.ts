import type { JsonObject } from "@bufbuild/protobuf";
import { assertNever } from "../../common/errors/assert-never.ts";
import { isNebulaError, NebulaError, type Violation } from "../../common/errors/nebula-error.ts";
import type { V2Fault } from "../../common/v2/entity-from-v2.ts";
import type { V2Answer } from "./operation.ts";

/** The bodies with which v2 answers refusals of a manager. */
export type Words = Readonly<{
  /** Body of a not-found; also for malformed names, since nothing can have one. */
  missing?: JsonObject;
  /** Body if the object exists already; only for a create. */
  exists?: JsonObject;
  /** Body if the state of the object forbids the call. */
  forbidden?: JsonObject;
  /** The field of v2 that holds the name. */
  nameField: string;
  /** Bodies for members of a device_group that do not exist, by field. */
  members?: Readonly<Record<string, JsonObject>>;
}>;

/** Runs an operation and answers refusals of a manager in these words; rejects with other errors. */
export async function inWords(words: Words, act: () => Promise<V2Answer>): Promise<V2Answer> {
  try {
    return await act();
  } catch (error) {
    const answer = isNebulaError(error) ? answerIn(words, error) : undefined;
    if (answer === undefined) throw error;
    return answer;
  }
}

function answerIn(words: Words, { kind, violations, message }: Readonly<{ kind: string; violations: readonly Violation[]; message: string }>) {
  switch (kind) {
    case "not_found":
      return words.missing === undefined ? undefined : forbidden(words.missing);
    case "already_exists":
      return words.exists === undefined ? undefined : forbidden(words.exists);
    case "failed_precondition":
      return words.forbidden === undefined ? undefined : forbidden(words.forbidden);
    case "invalid_argument":
      return invalid(words, violations, message);
    default:
      return undefined;
  }
}

function invalid({ missing, nameField, members = {} }: Words, violations: readonly Violation[], message: string): V2Answer {
  if (missing !== undefined && violations.some(({ field }) => field === "name")) return forbidden(missing);
  if (violations.some(isOfSchedule)) return { status: 400, body: { schedule_valid: false } };
  for (const { field } of violations) {
    const said = members[field.split("[")[0] ?? ""];
    if (said !== undefined) return forbidden(said);
  }
  const named = violations.map(({ field, description }) => ({ field: field === "name" ? nameField : field, description }));
  return { status: 400, body: invalidParameters({ violations: named, message }) };
}

function forbidden(body: JsonObject): V2Answer {
  return { status: 403, body };
}

/** Throws a V2Refusal if required fields are missing. */
export function refuseMissing(body: JsonObject, required: readonly string[]): void {
  const missing = required.filter((field) => !Object.hasOwn(body, field));
  if (missing.length > 0) throw new V2Refusal(400, { missing_parameters: missing });
}

/** Throws a V2Refusal if no field to change is given. */
export function refuseNothing(body: Readonly<Record<string, unknown>>): void {
  if (Object.keys(body).length === 0) throw new V2Refusal(400, { missing_parameters: true });
}

/** Throws a V2Refusal if the shape of a body is invalid. */
export function refuseFaults(faults: readonly V2Fault[]): void {
  const violations: Violation[] = [];
  for (const fault of faults) {
    switch (fault.kind) {
      case "ports_shape":
        throw new V2Refusal(403, { starting_ports: "can only be a list containing integers or dicts" });
      case "port":
        throw new V2Refusal(400, { starting_ports: "invalid port" });
      case "no_list":
        throw new V2Refusal(400, { [`${fault.field}_is_list`]: false });
      case "invalid":
        violations.push(fault.violation);
    }
  }
  refuseViolations(violations);
}

/** Throws a V2Refusal if there are violations. */
export function refuseViolations(violations: readonly Violation[]): void {
  if (violations.some(isOfSchedule)) throw new V2Refusal(400, { schedule_valid: false });
  if (violations.length > 0) throw new V2Refusal(400, invalidParameters({ violations, message: "" }));
}

function isOfSchedule({ field }: Violation): boolean {
  return field === "schedule";
}

/** A request that the gateway refuses by itself, before a manager has seen it. The answer is sent once the caller is known to have a login. */
export class V2Refusal extends Error {
  readonly answer: V2Answer;

  constructor(status: number, body: JsonObject, headers: Readonly<Record<string, string>> = {}) {
    super(`refused with ${status}`);
    this.answer = { status, body, headers };
  }
}

/** The answer of v2 to a caller without a valid login; a text, unlike all others. */
export const UNAUTHORIZED = { status: 401, text: "Unauthorized Access", headers: { "www-authenticate": 'Basic realm="nebula"' } } as const;

export type RefusedAnswer = V2Answer | typeof UNAUTHORIZED;

/** The one table from the kind of an error to a status of v2. Operations answer some errors in words of their own instead. */
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

/** The violations of a request in v2's shape. */
export function invalidParameters({ violations, message }: Pick<NebulaError, "violations" | "message">): JsonObject {
  if (violations.length === 0) return { error: message };
  return { invalid_parameters: Object.fromEntries(violations.map(({ field, description }) => [field, description])) };
}

function failed(status: number, { message, retryAfterMs }: NebulaError, defaultRetryMs?: number): V2Answer {
  const retryMs = retryAfterMs ?? defaultRetryMs;
  const headers = retryMs === undefined ? {} : { "retry-after": String(Math.max(1, Math.ceil(retryMs / 1000))) };
  return { status, body: { error: message }, headers };
}

/** The names of one kind of object in v2. */
export type Noun = Readonly<{
  /** In paths, and as the field of lists. */
  plural: string;
  /** In sentences. */
  singular: string;
  /** The field that holds the name, and the parameter in paths. */
  nameField: string;
  /** The field of refusals that says whether it exists. */
  existsField: string;
  /** The name of the schema in the OpenAPI document; that of a request body ends in Input. */
  schema: string;
}>;

export const APPS: Noun = { plural: "apps", singular: "app", nameField: "app_name", existsField: "app_exists", schema: "App" };
export const CRON_JOBS: Noun = {
  plural: "cron_jobs",
  singular: "cron_job",
  nameField: "cron_job_name",
  existsField: "cron_job_exists",
  schema: "CronJob",
};
export const DEVICE_GROUPS: Noun = {
  plural: "device_groups",
  singular: "device_group",
  nameField: "device_group",
  existsField: "device_group_exists",
  schema: "DeviceGroup",
};
export const USERS: Noun = { plural: "users", singular: "user", nameField: "user_name", existsField: "user_exists", schema: "User" };
export const USER_GROUPS: Noun = {
  plural: "user_groups",
  singular: "user_group",
  nameField: "user_group",
  existsField: "user_group_exists",
  schema: "UserGroup",
};

/** Returns a field that the answer of a manager always has. Throws `internal` if it is absent. */
export function present<T>(value: T | undefined, what: string): T {
  if (value === undefined) throw new NebulaError("internal", `a manager answered without the ${what}`);
  return value;
}
