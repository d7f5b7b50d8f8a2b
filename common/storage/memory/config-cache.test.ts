import { strict as assert } from "node:assert";
import fc from "fast-check";
import { ManualClock } from "../../clock/manual-clock.ts";
import { describeConfigCache } from "../contracts/config-cache-contract.ts";
import { createMemoryConfigCache } from "./config-cache.ts";

describeConfigCache("memory", async () => {
  const clock = new ManualClock();
  const ttlMs = 10_000;
  return { cache: createMemoryConfigCache({ ttlMs, clock }), ttlMs, clock, pass: (ms) => clock.advance(ms) };
});

describe("the config cache in memory", () => {
  it("the config cache in memory drops the oldest configs above its bound", async () => {
    const cache = createMemoryConfigCache({ ttlMs: 10_000, clock: new ManualClock(), maxEntries: 2 });
    for (const group of ["a", "b", "c"]) cache.put(group, { bytes: new Uint8Array(), etag: group, madeFrom: [] });
    assert.equal(await cache.get("a"), undefined);
    assert.equal((await cache.get("b"))?.etag, "b");
    assert.equal((await cache.get("c"))?.etag, "c");
  });

  it("the config cache in memory drops the oldest configs above its bound in bytes, and gives the room back", async () => {
    const cache = createMemoryConfigCache({ ttlMs: 10_000, clock: new ManualClock(), maxBytes: 100 });
    const put = (group: string, bytes: number) => cache.put(group, { bytes: new Uint8Array(bytes), etag: group, madeFrom: [] });
    for (let i = 0; i < 10; i++) put("a", 60); // the same group again takes no more room
    put("b", 40);
    assert.ok(await cache.get("a"));
    put("c", 1);
    assert.equal(await cache.get("a"), undefined);
    assert.ok(await cache.get("b"));
    put("huge", 101);
    for (const group of ["b", "c", "huge"]) assert.equal(await cache.get(group), undefined);
    put("d", 100);
    assert.ok(await cache.get("d"));
  });

  it("the config cache in memory answers nothing below any invalidation, also of those it had no room to remember", async () => {
    const name = fc.constantFrom("a", "b", "c", "d", "e");
    const step = fc.oneof(
      fc.record({ kind: fc.constant("told" as const), name, revision: fc.bigInt(1n, 9n) }),
      fc.record({
        kind: fc.constant("put" as const),
        group: fc.constantFrom("x", "y"),
        made: fc.dictionary(name, fc.bigInt(1n, 9n), { maxKeys: 3 }),
      }),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 30 }), async (steps) => {
        const cache = createMemoryConfigCache({ ttlMs: 10_000, clock: new ManualClock(), maxInvalidated: 2 });
        const told = new Map<string, bigint>();
        for (const one of steps) {
          if (one.kind === "told") {
            cache.invalidate({ kind: "app", name: one.name }, one.revision);
            if (one.revision > (told.get(one.name) ?? 0n)) told.set(one.name, one.revision);
          } else {
            const madeFrom = Object.entries(one.made).map(([member, revision]) => ({ kind: "app" as const, name: member, revision }));
            cache.put(one.group, { bytes: new Uint8Array(), etag: "e", madeFrom });
          }
          for (const group of ["x", "y"]) {
            for (const entity of (await cache.get(group))?.madeFrom ?? []) assert.ok(entity.revision >= (told.get(entity.name) ?? 0n));
          }
        }
      }),
    );
  });

  it("the config cache in memory remembers an invalidation for its time to live", async () => {
    const clock = new ManualClock();
    const cache = createMemoryConfigCache({ ttlMs: 10_000, clock });
    cache.invalidate({ kind: "app", name: "web" }, 5n);
    await clock.advance(3_600_000);
    cache.put("pos", { bytes: new Uint8Array(), etag: "late", madeFrom: [{ kind: "app", name: "web", revision: 4n }] });
    assert.equal(await cache.get("pos"), undefined, "a load that took an hour");
  });
});
