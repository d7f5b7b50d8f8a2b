import { invalidArgument, type Violation } from "../errors/nebula-error.ts";

const DEFAULT_PAGE = 100;
const LARGEST_PAGE = 1000;
/** No token that a store gives out is longer, characters. */
const LONGEST_TOKEN = 1024;

export type PageFields = Readonly<{ pageSize: number; pageToken: string }>;

export function validatePage({ pageSize, pageToken }: PageFields): Violation[] {
  const violations: Violation[] = [];
  if (pageSize > LARGEST_PAGE)
    violations.push({ field: "page_size", description: `${pageSize} is too large; 1 to ${LARGEST_PAGE}, or 0 for ${DEFAULT_PAGE}, would do` });
  if (pageToken.length > LONGEST_TOKEN)
    violations.push({ field: "page_token", description: "is none that a page was answered with; pass next_page_token of the page before" });
  return violations;
}

/** What a list is asked for, as a store takes it. Throws `invalid_argument`. */
export function pageOf(fields: PageFields): { after?: string; limit: number } {
  const violations = validatePage(fields);
  if (violations.length > 0) throw invalidArgument(violations);
  return { limit: fields.pageSize === 0 ? DEFAULT_PAGE : fields.pageSize, ...(fields.pageToken === "" ? {} : { after: fields.pageToken }) };
}
