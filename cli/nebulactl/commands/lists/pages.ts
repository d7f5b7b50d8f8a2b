import { Code } from "@connectrpc/connect";
import type { CommandContext } from "../../command/context.ts";
import type { NumberFlag, TextFlag } from "../../command/flags.ts";
import { unlessRefused } from "../../errors/unless-refused.ts";
import { type ListView, printList } from "../../output/print-list.ts";

/** One page of a list. */
export type Page<T> = Readonly<{ items: readonly T[]; nextPageToken: string }>;

/** The largest page of the API. */
const LARGEST_PAGE = 1000;

export type Paging = Readonly<{
  /** The most items; undefined for all. */
  limit?: number | undefined;
  /** The page token to continue from; empty for the beginning. */
  from?: string;
  /** Called with the page token to continue from if the limit ended the list. */
  onMore?: (token: string) => void;
}>;

/** The items of all pages. Pages are fetched lazily, one at a time. */
export async function* allPages<T>(
  fetch: (size: number, token: string) => Promise<Page<T>>,
  { limit = Infinity, from = "", onMore }: Paging = {},
): AsyncGenerator<T, void> {
  let token = from;
  for (let left = limit; left > 0; ) {
    const page = await fetch(Math.min(left, LARGEST_PAGE), token);
    yield* page.items;
    left -= page.items.length;
    token = page.nextPageToken;
    if (token === "") return;
  }
  onMore?.(token);
}

/** --limit of a list that shows all of its items unless it is given. */
const ALL_UNLESS: NumberFlag = { kind: "number", name: "limit", placeholder: "N", min: 1, integer: true, help: "At most this many. Default: all." };
/** The flag of a list that may be of one device_group. */
export const OF_GROUP: TextFlag = {
  kind: "text",
  name: "device-group",
  short: "d",
  placeholder: "GROUP",
  offers: { names: "device_group" },
  help: "Only of this device_group.",
};
export const LAST_ID: TextFlag = {
  kind: "text",
  name: "last-id",
  short: "l",
  placeholder: "ID",
  help: "Continue after an earlier list, which prints this id at its end.",
};

/** The flags of a list that shows all of its items unless --limit is given. */
export const LIMIT_FLAGS = [ALL_UNLESS, LAST_ID] as const;

/** The default number of items of a list, with the flag that changes it. */
export type PageLimit = Readonly<{ flag: NumberFlag; fallback: number }>;

/** For a list with LIMIT_FLAGS. */
export const NO_LIMIT: PageLimit = { flag: ALL_UNLESS, fallback: Number.POSITIVE_INFINITY };

export function pageLimit(fallback: number): PageLimit {
  const help = `At most this many. Default: ${fallback}.`;
  return { flag: { kind: "number", name: "limit", aliases: ["page-size"], short: "p", placeholder: "N", min: 1, integer: true, help }, fallback };
}

/**
 * Prints the items from --last-id on, at most --limit. If there are more, a line on standard error says how to
 * continue.
 * @param group the device_group of the list; absent for all
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

/**
 * The items of a list of one device_group. If there are none, it rejects with the NOT_FOUND of the server unless the
 * group exists: a misspelled name must not look like an empty list.
 * @param group undefined for a list of all groups
 */
export async function* ofExistingGroup<T>(
  items: AsyncIterable<T>,
  group: string | undefined,
  { client, signal }: Pick<CommandContext, "client" | "signal">,
): AsyncGenerator<T> {
  let empty = true;
  for await (const item of items) {
    empty = false;
    yield item;
  }
  if (!empty || group === undefined) return;
  const { DeviceGroupService } = await import("../../../../gen/nebula/v1/device_group_pb.ts"); // most lists do not need it
  await unlessRefused((await client(DeviceGroupService)).getDeviceGroup({ name: group }, { signal }), Code.PermissionDenied);
}
