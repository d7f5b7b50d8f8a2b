import { strict as assert } from "node:assert";
import type { ConfigStore, EntityKey, StoredEntity } from "../storage/config-store.ts";
import type { Page, PageRequest } from "../storage/page.ts";

/** Every kept revision of one name, newest first. */
export async function readHistory(store: Pick<ConfigStore, "history">, key: EntityKey): Promise<StoredEntity[]> {
  const items: StoredEntity[] = [];
  for (let before: bigint | undefined; ; ) {
    const page = await store.history(key, { limit: 1000, ...(before === undefined ? {} : { before }) });
    items.push(...page.items);
    if (page.next === undefined) return items;
    assert.ok(before === undefined || page.next < before, "the pages lead on");
    before = page.next;
  }
}

/** More pages in a row without an item than a list of a few hours has. */
const MOST_EMPTY = 100;

/** Every item of a list, read in pages of `limit`, some of which may be empty. */
export async function readAll<T>(list: (page: PageRequest) => Promise<Page<T>>, limit: number): Promise<T[]> {
  const items: T[] = [];
  let empty = 0;
  for (let after: string | undefined; ; ) {
    const page = await list(after === undefined ? { limit } : { limit, after });
    assert.ok(page.items.length <= limit, `a page of ${page.items.length}`);
    items.push(...page.items);
    if (page.next === undefined) return items;
    empty = page.items.length > 0 ? 0 : empty + 1;
    assert.ok(empty <= MOST_EMPTY, `${empty} empty pages`);
    assert.notEqual(page.next, after, "a page that does not advance");
    after = page.next;
  }
}
