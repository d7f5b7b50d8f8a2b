import { strict as assert } from "node:assert";
import fc from "fast-check";
import type { Page } from "../../common/storage/config-store.ts";
import type { PageRequest } from "../../common/storage/report-store.ts";
import { createPageSeal } from "./page-seal.ts";
import { createVisiblePages } from "./visible-pages.ts";

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

describe("pages of what a caller may see", () => {
  it("are together all of it and nothing else, in order; each but the last is full, and each token names an item that is shown", async () => {
    const names = fc
      .array(fc.boolean(), { maxLength: 3000, size: "max" })
      .map((all) => all.map((isShown, index) => `${isShown ? "shown" : "hidden"}${index}`));
    await fc.assert(
      fc.asyncProperty(names, fc.integer({ min: 1, max: 700 }), async (all, limit) => {
        const { list } = listOf(all);
        const seen: string[] = [];
        let after: string | undefined;
        do {
          const page: Page<string> = await pages(list, { limit, ...(after === undefined ? {} : { after }) }, (name) => name.startsWith("shown"));
          if (page.next !== undefined) assert.deepEqual([page.items.length, page.next], [limit, page.items.at(-1)]);
          seen.push(...page.items);
          after = page.next;
        } while (after !== undefined);
        assert.deepEqual(
          seen,
          all.filter((name) => name.startsWith("shown")),
        );
      }),
      { numRuns: 50 },
    );
  });

  it("end after a bounded number of reads, with a token that says nothing and goes on", async () => {
    const all = [...Array.from({ length: 25_000 }, (_, index) => `hidden${index}`), "shown"];
    const { list, reads } = listOf(all);
    const first = await pages(list, { limit: 10 }, (name) => name === "shown");
    assert.deepEqual([first.items, reads.length], [[], 40]);
    const token = first.next ?? assert.fail();
    assert.ok(!token.includes("hidden") && !Buffer.from(token, "base64url").toString("latin1").includes("hidden"));
    const elsewhere = createVisiblePages(createPageSeal("cluster key of a test"));
    assert.deepEqual(await elsewhere(list, { limit: 10, after: token }, (name) => name === "shown"), { items: ["shown"], next: undefined });
  });

  it("of whoever may see everything are the store's", async () => {
    const { list, reads } = listOf(["a", "b", "c"]);
    assert.deepEqual(await pages(list, { limit: 2 }, undefined), { items: ["a", "b"], next: "b" });
    assert.deepEqual(reads, [2]);
  });
});

describe("sealed page tokens", () => {
  it("are opened by whoever has the cluster key; every other token stays as it is", () => {
    assert.equal(seal.open(seal.seal("names/ä")), "names/ä");
    const foreign = createPageSeal("another key").seal("web");
    for (const token of ["web", "~", "~AAAA", foreign]) assert.equal(seal.open(token), token);
  });
});
