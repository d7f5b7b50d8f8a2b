import type { Range } from "../data/paged-list.ts";

/** Rows above and below the visible ones that are drawn too, so that scrolling shows no gap. */
const BEYOND = 12;

/**
 * The rows of a table that are drawn, from 0.
 * @param above how far the top of the first row is above the top of the window, pixels; negative below it
 */
export function rowsInView({
  above,
  windowHeight,
  rowHeight,
  count,
}: Readonly<Record<"above" | "windowHeight" | "rowHeight" | "count", number>>): Range {
  const first = Math.floor(above / rowHeight) - BEYOND;
  const last = Math.ceil((above + windowHeight) / rowHeight) + BEYOND;
  const within = (row: number) => Math.min(count, Math.max(0, row));
  return { first: within(first), last: within(last) };
}
