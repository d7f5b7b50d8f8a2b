import { strict as assert } from "node:assert";
import { allPages } from "./pages.ts";

/** Items 0..count-1 in pages of at most `perPage`; the token is the next item. */
function source(count: number, perPage: number) {
  const asked: number[] = [];
  const fetch = async (size: number, token: string) => {
    asked.push(size);
    const from = token === "" ? 0 : Number(token);
    const to = Math.min(count, from + Math.min(size, perPage));
    return { items: Array.from({ length: to - from }, (_, index) => from + index), nextPageToken: to < count ? String(to) : "" };
  };
  return { fetch, asked };
}

async function listed(items: AsyncIterable<number>): Promise<number[]> {
  return Array.fromAsync(items);
}

describe("the pages of a list", () => {
  it("pages of a list are read to the last, in pages of at most 1000", async () => {
    const { fetch, asked } = source(2500, 1000);
    assert.equal((await listed(allPages(fetch))).length, 2500);
    assert.deepEqual(asked, [1000, 1000, 1000]);
  });

  it("pages of a list end at the limit, with the argument that resumes the list", async () => {
    const { fetch, asked } = source(10, 3);
    const more: string[] = [];
    assert.deepEqual(await listed(allPages(fetch, { limit: 4, onMore: (token) => more.push(token) })), [0, 1, 2, 3]);
    assert.deepEqual([asked, more], [[4, 1], ["4"]]);
    assert.deepEqual(await listed(allPages(fetch, { limit: 6, from: "4", onMore: (token) => more.push(token) })), [4, 5, 6, 7, 8, 9]);
    assert.deepEqual(more, ["4"]);
  });

  it("pages of a list are fetched only when they are consumed", async () => {
    const { fetch, asked } = source(10, 3);
    for await (const item of allPages(fetch)) if (item === 1) break;
    assert.deepEqual(asked, [1000]);
  });
});
