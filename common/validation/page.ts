import { invalidArgument, type Violation } from "../errors/nebula-error.ts";
import { quote } from "./quote.ts";

const DEFAULT_PAGE_SIZE = 100;
const LARGEST_PAGE_SIZE = 1000;
/** No token that a store gives out is longer, characters. */
const LONGEST_TOKEN = 1024;

export type PageFields = Readonly<{ pageSize: number; pageToken: string }>;

export function validatePage({ pageSize, pageToken }: PageFields): Violation[] {
  const size = {
    field: "page_size",
    description: `${pageSize} is too many: 1 to ${LARGEST_PAGE_SIZE} would do, or 0 for ${DEFAULT_PAGE_SIZE}`,
  };
  return [...(pageSize > LARGEST_PAGE_SIZE ? [size] : []), ...(pageToken.length > LONGEST_TOKEN ? [pageTokenViolation(pageToken)] : [])];
}

/** What to say of a token that the asked list of a store never gave out: callers hand tokens back as they got them, and nothing is guessed at. */
export function pageTokenViolation(token: string): Violation {
  return {
    field: "page_token",
    description: `${quote(token)} is not a token of this list: give the next_page_token of the page before, or nothing for the first page`,
  };
}

/** What a list is asked for, as a store takes it. Throws `invalid_argument`. */
export function pageOf(fields: PageFields): { after?: string; limit: number } {
  const violations = validatePage(fields);
  if (violations.length > 0) throw invalidArgument(violations);
  return { limit: fields.pageSize === 0 ? DEFAULT_PAGE_SIZE : fields.pageSize, ...(fields.pageToken === "" ? {} : { after: fields.pageToken }) };
}
