import { TargetState, TargetStateSchema } from "../../gen/nebula/v1/report_pb.ts";
import { invalidArgument, type Violation } from "../errors/nebula-error.ts";
import { quote } from "../text/wording.ts";
import { deviceIdViolations, validateName } from "./names.ts";

const DEFAULT_PAGE_SIZE = 100;
const LARGEST_PAGE_SIZE = 1000;
/** No token that a store gives out is longer, characters. */
const LONGEST_TOKEN = 1024;

export type PageFields = Readonly<{ pageSize: number; pageToken: string }>;

export function validatePage({ pageSize, pageToken }: PageFields): Violation[] {
  const size = {
    field: "page_size",
    description: `${pageSize} is too many; use 1 to ${LARGEST_PAGE_SIZE}, or 0 for ${DEFAULT_PAGE_SIZE}`,
  };
  return [...(pageSize > LARGEST_PAGE_SIZE ? [size] : []), ...(pageToken.length > LONGEST_TOKEN ? [pageTokenViolation(pageToken)] : [])];
}

/** The violation of a page token that the list never returned. */
export function pageTokenViolation(token: string): Violation {
  return {
    field: "page_token",
    description: `${quote(token)} is not a token of this list: give the next_page_token of the page before, or nothing for the first page`,
  };
}

/** The page that a request asks for, as stores take it. Throws `invalid_argument`. */
export function pageOf(fields: PageFields): { after?: string; limit: number } {
  const violations = validatePage(fields);
  if (violations.length > 0) throw invalidArgument(violations);
  return { limit: fields.pageSize === 0 ? DEFAULT_PAGE_SIZE : fields.pageSize, ...(fields.pageToken === "" ? {} : { after: fields.pageToken }) };
}

/** The filter of lists of devices and of reports; a field that is empty or unspecified filters nothing. */
export type StatusFilter = Readonly<{ deviceId?: string; deviceGroup: string; state: TargetState }>;

/** Checks a filter: one that can never match is a typing error, which an empty list would hide. */
export function validateStatusFilter({ deviceId = "", deviceGroup, state }: StatusFilter): Violation[] {
  const states = TargetStateSchema.values.filter(({ number }) => number !== TargetState.UNSPECIFIED);
  const isKnown = state === TargetState.UNSPECIFIED || states.some(({ number }) => number === state);
  return [
    ...(deviceId === "" ? [] : deviceIdViolations(deviceId, "device_id")),
    ...(deviceGroup === "" ? [] : validateName(deviceGroup, "device_group")),
    ...(isKnown ? [] : [{ field: "state", description: `invalid state "${state}"; use ${states.map(({ name }) => name).join(", ")}` }]),
  ];
}
