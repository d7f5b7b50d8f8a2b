import type { CommandContext } from "../command/context.ts";
import type { NumberFlag, TextFlag } from "../command/flags.ts";
import { allPages, type Page } from "../entities/pages.ts";
import { type ListView, printList } from "../output/print-list.ts";
import { ofExistingGroup } from "./in-use.ts";

/* The flags of lists that may be very long: of some time, and a part of it at a time. */

export const SINCE: TextFlag = {
  kind: "text",
  name: "since",
  placeholder: "2h|TIME",
  help: "Only since then: a duration back from now, or an ISO time.",
};
export const UNTIL: TextFlag = { kind: "text", name: "until", placeholder: "1h|TIME", help: "Only before then." };
export const LAST_ID: TextFlag = {
  kind: "text",
  name: "last-id",
  short: "l",
  placeholder: "ID",
  help: "Go on where an earlier list ended, as it says at its end.",
};

/** How many items a list shows, with the flag that says otherwise. */
export type PageLimit = Readonly<{ flag: NumberFlag; fallback: number }>;

export function pageLimit(fallback: number): PageLimit {
  const help = `At most this many. Default: ${fallback}.`;
  return { flag: { kind: "number", name: "limit", aliases: ["page-size"], short: "p", placeholder: "N", min: 1, integer: true, help }, fallback };
}

/**
 * Prints the items from --last-id on, as many as --limit says; where there are more, how to go on is said after them, on standard error.
 * @param group the device_group that the list is of; absent: of all
 */
export async function printSomePages<T>(
  fetch: (pageSize: number, pageToken: string) => Promise<Page<T>>,
  { flag, fallback }: PageLimit,
  view: ListView<T>,
  context: CommandContext,
  group?: string,
): Promise<void> {
  const { values, io } = context;
  let next: string | undefined;
  const limit = values.number(flag) ?? fallback;
  const onMore = (token: string) => {
    next = token;
  };
  const items = allPages(fetch, { limit, from: values.text(LAST_ID) ?? "", onMore });
  await printList(ofExistingGroup(items, group, context), view, context);
  if (next !== undefined) io.err(`showing ${limit}; more with --last-id ${next}\n`);
}
