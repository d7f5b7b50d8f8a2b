import type { JsonObject } from "@bufbuild/protobuf";
import { isNebulaError, type Violation } from "../../common/errors/nebula-error.ts";
import type { V2Fault } from "../../common/v2/entity-from-v2.ts";
import type { V2Answer } from "./operation.ts";
import { invalidParameters, V2Refusal } from "./refusal.ts";

/** What v2 says, in words of its own, where a manager refuses a call. */
export type Words = Readonly<{
  /** What is said where the object is not there: a name that can't be one is none that is. */
  missing?: JsonObject;
  /** Where it is there already; only a create says so. */
  exists?: JsonObject;
  /** Where the state of the object forbids it. */
  forbidden?: JsonObject;
  /** The field of v2 that holds the name. */
  nameField: string;
  /** Where members of a device_group are named that are not there, by field. */
  members?: Readonly<Record<string, JsonObject>>;
}>;

/** Runs what an operation does, and answers a manager's refusal in these words; other errors pass. */
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

/** Throws a V2Refusal where fields that are required are missing. */
export function refuseMissing(body: JsonObject, required: readonly string[]): void {
  const missing = required.filter((field) => !Object.hasOwn(body, field));
  if (missing.length > 0) throw new V2Refusal(400, { missing_parameters: missing });
}

/** Throws a V2Refusal where nothing is given that could be changed. */
export function refuseNothing(body: Readonly<Record<string, unknown>>): void {
  if (Object.keys(body).length === 0) throw new V2Refusal(400, { missing_parameters: true });
}

/** Throws a V2Refusal where something is wrong with the shape of a body. */
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

/** Throws a V2Refusal where there are violations. */
export function refuseViolations(violations: readonly Violation[]): void {
  if (violations.some(isOfSchedule)) throw new V2Refusal(400, { schedule_valid: false });
  if (violations.length > 0) throw new V2Refusal(400, invalidParameters({ violations, message: "" }));
}

function isOfSchedule({ field }: Violation): boolean {
  return field === "schedule";
}
