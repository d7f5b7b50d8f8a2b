import { strict as assert } from "node:assert";
import type { Page } from "../storage/config-store.ts";
import type { PageRequest } from "../storage/report-store.ts";

/** Every item of a list, read in pages of `limit`. */
export async function readAll<T>(list: (page: PageRequest) => Promise<Page<T>>, limit: number): Promise<T[]> {
  const items: T[] = [];
  for (let after: string | undefined; ; ) {
    const page = await list(after === undefined ? { limit } : { limit, after });
    assert.ok(page.items.length <= limit, `a page of ${page.items.length}`);
    items.push(...page.items);
    if (page.next === undefined) return items;
    assert.ok(page.items.length > 0, "an empty page that is not the last one");
    after = page.next;
  }
}
