import { strict as assert } from "node:assert";
import { ManualClock } from "../../clock/manual-clock.ts";
import { describeConfigCache } from "../config-cache-contract.ts";
import { createMemoryConfigCache } from "./config-cache.ts";

describeConfigCache("memory", async () => {
  const clock = new ManualClock();
  const ttlMs = 10_000;
  return { cache: createMemoryConfigCache({ ttlMs, clock }), ttlMs, clock, pass: (ms) => clock.advance(ms) };
});

describe("the config cache in memory", () => {
  it("drops the oldest configs above its bound", async () => {
    const cache = createMemoryConfigCache({ ttlMs: 10_000, clock: new ManualClock(), maxEntries: 2 });
    for (const group of ["a", "b", "c"]) await cache.put(group, { bytes: new Uint8Array(), etag: group, madeFrom: [] });
    assert.equal(await cache.get("a"), undefined);
    assert.equal((await cache.get("b"))?.etag, "b");
    assert.equal((await cache.get("c"))?.etag, "c");
  });

  it("keeps no config past the bound of what it was told", async () => {
    const cache = createMemoryConfigCache({ ttlMs: 10_000, clock: new ManualClock(), maxEntries: 2 });
    await cache.put("a", { bytes: new Uint8Array(), etag: "a", madeFrom: [] });
    for (let i = 0; i < 21; i++) cache.told({ kind: "app", name: `app-${i}` }, 1n);
    assert.equal(await cache.get("a"), undefined);
  });
});
