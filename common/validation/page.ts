import { invalidArgument, type Violation } from "../errors/nebula-error.ts";
import { pageSizeOrDefault, pageSizeViolations } from "./page-size.ts";

/** No token that a store gives out is longer, characters. */
const LONGEST_TOKEN = 1024;

export type PageFields = Readonly<{ pageSize: number; pageToken: string }>;

export function validatePage({ pageSize, pageToken }: PageFields): Violation[] {
  const token = { field: "page_token", description: "is none that a page was answered with; pass next_page_token of the page before" };
  return [...pageSizeViolations(pageSize), ...(pageToken.length > LONGEST_TOKEN ? [token] : [])];
}

/** What a list is asked for, as a store takes it. Throws `invalid_argument`. */
export function pageOf(fields: PageFields): { after?: string; limit: number } {
  const violations = validatePage(fields);
  if (violations.length > 0) throw invalidArgument(violations);
  return { limit: pageSizeOrDefault(fields.pageSize), ...(fields.pageToken === "" ? {} : { after: fields.pageToken }) };
}
