import type { Violation } from "../errors/nebula-error.ts";

const DEFAULT_PAGE_SIZE = 100;
const LARGEST_PAGE_SIZE = 1000;

/** What is wrong with a request's page_size, if anything is. */
export function pageSizeViolations(pageSize: number): readonly Violation[] {
  if (pageSize <= LARGEST_PAGE_SIZE) return [];
  return [{ field: "page_size", description: `${pageSize} is too many: 1 to ${LARGEST_PAGE_SIZE} would do, or 0 for ${DEFAULT_PAGE_SIZE}` }];
}

/** How many items a page holds: page_size, or 100 where it is 0. */
export function pageSizeOrDefault(pageSize: number): number {
  return pageSize === 0 ? DEFAULT_PAGE_SIZE : pageSize;
}
