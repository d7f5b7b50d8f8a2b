import { decodeTimePosition, encodePosition, type Page } from "../../page.ts";
import type { Query } from "../connection/client.ts";
import { integer, text } from "../connection/rows.ts";
import type { AccessPartition } from "./access-partition.ts";

/** The list of everybody: no device_group and no user has this name. */
export const ALL = "*";

/** Rows of a list that are read for one page. */
const MOST_READ = 5000;
/** Beyond every time. */
const LATEST = Number.MAX_SAFE_INTEGER;

/** A list of ids by time, whose rows lead to the items, or to none. */
export type ListByTime<T> = Readonly<{
  /** The name of the list in its page tokens. */
  name: string;
  table: string;
  /** The rows `created_at` and `id` of the list before a position, newest first. */
  before(createdAt: bigint, id: string): Query;
  /** The items of these ids that belong to the list, in this order. */
  read(ids: readonly string[]): Promise<readonly T[]>;
}>;

/** One page of a list by time, newest first. */
export async function newestFirst<T extends Readonly<{ createdAt: number; id: string }>>(
  { client }: AccessPartition,
  { name, table, before, read: readItems }: ListByTime<T>,
  { after, limit }: Readonly<{ after?: string; limit: number }>,
  signal: AbortSignal | undefined,
): Promise<Page<T>> {
  const [createdAt, id] = after === undefined ? [LATEST, ""] : decodeTimePosition(name, after);
  const query = before(BigInt(createdAt), id);
  const items: T[] = [];
  let read = 0;
  for (let pageState: string | undefined; ; ) {
    const { rows, next } = await client.execute(query, { table, kind: "read", fetchSize: limit + 1, pageState, signal });
    items.push(...(await readItems(rows.map((row) => text(row, "id")))));
    read += rows.length;
    const end = items[limit - 1];
    if (items.length > limit && end !== undefined) return { items: items.slice(0, limit), next: encodePosition(name, [end.createdAt, end.id]) };
    const last = rows.at(-1);
    if (next === undefined || last === undefined) return { items, next: undefined };
    if (read >= MOST_READ) return { items, next: encodePosition(name, [integer(last, "created_at"), text(last, "id")]) };
    pageState = next;
  }
}
