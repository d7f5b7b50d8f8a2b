import { strict as assert } from "node:assert";
import { PagedList } from "./paged-list.ts";

const signal = new AbortController().signal;

describe("a list that is read page by page", () => {
  /** Names in order; a page begins after the name of its token. */
  let names: string[];
  let asked: string[];
  beforeEach(() => {
    names = Array.from({ length: 95 }, (_, index) => `d${String(index).padStart(2, "0")}`);
    asked = [];
  });

  const fetchPage = async (token: string) => {
    asked.push(token);
    const rest = names.filter((name) => name > token);
    const items = rest.slice(0, 10);
    return { items, nextPageToken: rest.length > 10 ? (items.at(-1) ?? "") : "" };
  };

  it("a list reads the pages that are looked at, and those before them once", async () => {
    const list = new PagedList(fetchPage);
    const first = await list.read({ first: 0, last: 15 }, signal);
    assert.deepEqual([first.items.length, first.hasMore, asked.length], [20, true, 2]);
    asked = [];
    const later = await list.read({ first: 40, last: 55 }, signal);
    assert.deepEqual([later.items.length, asked.length], [60, 4]);
    asked = [];
    await list.read({ first: 42, last: 58 }, signal);
    assert.deepEqual(asked, ["d39", "d49"]);
  });

  it("a list ends where there are no more pages", async () => {
    const list = new PagedList(fetchPage);
    const { items, hasMore } = await list.read({ first: 0, last: 1000 }, signal);
    assert.deepEqual([items, hasMore], [names, false]);
  });

  it("rows that come and go while a list is shown are neither left out nor shown twice", async () => {
    const list = new PagedList(fetchPage);
    await list.read({ first: 0, last: 45 }, signal);
    names = ["a1", ...names.filter((name) => name !== "d05" && name !== "d06")].sort();
    const { items } = await list.read({ first: 0, last: 20 }, signal);
    assert.deepEqual(items, names.slice(0, items.length));
    assert.ok(items.length >= 40);
  });

  it("pages that all begin elsewhere are read again a limited number at once, and those after them when they are looked at", async () => {
    const numbers = Array.from({ length: 100 }, (_, index) => index);
    let [first, pages] = [0, 0];
    const moving = new PagedList(async (token: string) => {
      pages++;
      const from = token === "" ? first : Number(token);
      const items = numbers.filter((number) => number >= from).slice(0, 2);
      return { items, nextPageToken: from + 2 >= numbers.length ? "" : String(from + 2) };
    });
    for (let last = 0; last <= 100; last += 30) await moving.read({ first: 0, last }, signal);
    assert.equal((await moving.read({ first: 0, last: 100 }, signal)).items.length, 100);
    [first, pages] = [1, 0];
    const { items, hasMore } = await moving.read({ first: 0, last: 4 }, signal);
    assert.deepEqual([items, hasMore, pages], [numbers.slice(1, 43), true, 21]);
    assert.deepEqual((await moving.read({ first: 40, last: 60 }, signal)).items, numbers.slice(1, 61));
  });

  it("a list that was empty is read again, and has what came meanwhile", async () => {
    names = [];
    const list = new PagedList(fetchPage);
    assert.deepEqual(await list.read({ first: 0, last: 50 }, signal), { items: [], hasMore: false });
    names = ["a1"];
    assert.deepEqual(await list.read({ first: 0, last: 50 }, signal), { items: ["a1"], hasMore: false });
  });

  it("a list whose filter leaves pages empty asks for a limited number of them at once, and continues with the next read", async () => {
    let pages = 0;
    const sparse = new PagedList(async (token: string) => {
      pages++;
      const number = token === "" ? 0 : Number(token);
      return { items: number === 29 ? ["found"] : [], nextPageToken: number === 29 ? "" : String(number + 1) };
    });
    const first = await sparse.read({ first: 0, last: 50 }, signal);
    assert.deepEqual([first.items, first.hasMore, pages], [[], true, 20]);
    const then = await sparse.read({ first: 0, last: 50 }, signal);
    assert.deepEqual([then.items, then.hasMore], [["found"], false]);
  });
});
