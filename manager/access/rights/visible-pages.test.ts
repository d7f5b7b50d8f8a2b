import { strict as assert } from "node:assert";
import fc from "fast-check";
import type { Page, PageRequest } from "../../../common/storage/page.ts";
import { createPageSeal, createVisiblePages } from "./visible-pages.ts";

const seal = createPageSeal("cluster key of a test");
const pages = createVisiblePages(seal);

/** A store's list of these names. */
function listOf(names: readonly string[]) {
  const reads: number[] = [];
  const list = async ({ after, limit }: PageRequest): Promise<Page<string>> => {
    reads.push(limit);
    const from = after === undefined ? 0 : names.indexOf(after) + 1;
    const items = names.slice(from, from + limit);
    return { items, next: from + limit < names.length ? items.at(-1) : undefined };
  };
  return { list, reads };
}

type List = (page: PageRequest) => Promise<Page<string>>;

/** Reads all pages of what is shown of these names, and looks at each. */
async function assertAllShown(names: readonly string[], list: List, limit: number, look: (page: Page<string>) => void): Promise<void> {
  const isShown = (name: string) => name.startsWith("shown");
  const seen: string[] = [];
  for (let after: string | undefined; ; ) {
    const page: Page<string> = await pages(list, { limit, ...(after === undefined ? {} : { after }) }, isShown);
    look(page);
    seen.push(...page.items);
    if (page.next === undefined) break;
    after = page.next;
  }
  assert.deepEqual(seen, names.filter(isShown));
}

describe("pages of what a caller may see", () => {
  it("pages concatenate to exactly the visible items, in order; each but the last is full, and each token names an item that is shown", async () => {
    const names = fc
      .array(fc.boolean(), { maxLength: 3000, size: "max" })
      .map((all) => all.map((isShown, index) => `${isShown ? "shown" : "hidden"}${index}`));
    await fc.assert(
      fc.asyncProperty(names, fc.integer({ min: 1, max: 700 }), async (all, limit) => {
        const { list } = listOf(all);
        await assertAllShown(all, list, limit, ({ items, next }) => {
          if (next !== undefined) assert.deepEqual([items.length, next], [limit, items.at(-1)]);
        });
      }),
      { numRuns: 50 },
    );
  });

  it("pages concatenate to exactly the visible items of a store whose pages may be short or empty, with tokens that reveal no hidden item", async () => {
    const names = fc.array(fc.boolean(), { maxLength: 400, size: "max" });
    const lengths = fc.infiniteStream(fc.integer({ min: 0, max: 9 }));
    await fc.assert(
      fc.asyncProperty(names, lengths, fc.integer({ min: 1, max: 20 }), async (isShown, most, limit) => {
        const all = isShown.map((shown, index) => `${shown ? "shown" : "hidden"}${index}`);
        const list = async ({ after, limit: asked }: PageRequest): Promise<Page<string>> => {
          const from = after === undefined ? 0 : Number(after);
          const looked = asked === 1 ? 1 : Math.max(1, most.next().value); // what it looks at; it may leave all of that out
          const items = all.slice(from, from + Math.min(asked, looked));
          const left = looked === 3 && items.every((name) => name.startsWith("hidden")) ? [] : items;
          return { items: left, next: from + items.length < all.length ? String(from + items.length) : undefined };
        };
        await assertAllShown(all, list, limit, ({ items, next }) => {
          assert.ok(items.length <= limit);
          const last = next === undefined ? undefined : Number(next);
          if (last !== undefined && !Number.isNaN(last)) assert.equal(all[last - 1], items.at(-1), "the token names what is hidden");
        });
      }),
      { numRuns: 200 },
    );
  });

  it("pages end after a bounded number of empty pages of the store", async () => {
    let reads = 0;
    const list = async ({ after }: PageRequest): Promise<Page<string>> => {
      reads++;
      return { items: [], next: String(Number(after ?? 0) + 1) };
    };
    const page = await pages(list, { limit: 10 }, () => true);
    assert.deepEqual(page.items, []);
    assert.ok(page.next !== undefined && reads >= 10 && reads <= 1000, `${reads} reads`);
  });

  it("pages end after a bounded number of reads, with an opaque token that continues", async () => {
    const all = [...Array.from({ length: 25_000 }, (_, index) => `hidden${index}`), "shown"];
    const { list, reads } = listOf(all);
    const first = await pages(list, { limit: 10 }, (name) => name === "shown");
    assert.deepEqual([first.items, reads.length], [[], 40]);
    const token = first.next ?? assert.fail();
    assert.ok(!token.includes("hidden") && !Buffer.from(token, "base64url").toString("latin1").includes("hidden"));
    const elsewhere = createVisiblePages(createPageSeal("cluster key of a test"));
    assert.deepEqual(await elsewhere(list, { limit: 10, after: token }, (name) => name === "shown"), { items: ["shown"], next: undefined });
  });

  it("pages for a caller who may see everything are those of the store", async () => {
    const { list, reads } = listOf(["a", "b", "c"]);
    assert.deepEqual(await pages(list, { limit: 2 }, undefined), { items: ["a", "b"], next: "b" });
    assert.deepEqual(reads, [2]);
  });
});

describe("sealed page tokens", () => {
  it("sealed page tokens are opened with the cluster key; every other token stays as it is", () => {
    assert.equal(seal.open(seal.seal("names/ä")), "names/ä");
    const foreign = createPageSeal("another key").seal("web");
    for (const token of ["web", "~", "~AAAA", foreign]) assert.equal(seal.open(token), token);
  });
});
