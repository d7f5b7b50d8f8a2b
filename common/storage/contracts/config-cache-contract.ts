import { strict as assert } from "node:assert";
import type { Clock } from "../../clock/clock.ts";
import { eventually } from "../../testing/eventually.ts";
import type { CachedConfig, ConfigCache } from "../config-cache.ts";

const config = (revision: bigint, app = "web"): CachedConfig => ({
  bytes: Buffer.from(`${app}@${revision}`),
  etag: `etag-${app}-${revision}`,
  madeFrom: [
    { kind: "device_group", name: "pos", revision: 1n },
    { kind: "app", name: app, revision },
  ],
});

export type OpenedConfigCache = {
  cache: ConfigCache;
  ttlMs: number;
  clock: Clock;
  /** Lets that much time pass, or waits for it. */
  pass: (ms: number) => Promise<void>;
};

/** The contract of ConfigCache. `open` yields an empty one. */
export function describeConfigCache(driver: string, open: () => Promise<OpenedConfigCache>): void {
  describe(`ConfigCache: ${driver}`, () => {
    let opened: OpenedConfigCache;
    beforeEach(async () => {
      opened = await open();
    });
    afterEach(async () => {
      await opened.cache[Symbol.asyncDispose]();
    });

    /** The cached config; an answer that was too late for one get comes with another. */
    const answered = (group: string) =>
      eventually(
        async () => {
          const cached = await opened.cache.get(group);
          assert.ok(cached, `nothing is cached for ${group}`);
          return cached;
        },
        { timeoutMs: 1000, everyMs: 5 },
      );

    it("the cache answers the bytes that were put, and nothing for another group", async () => {
      const { cache } = opened;
      cache.put("pos", config(1n));
      const cached = await answered("pos");
      assert.deepEqual(Buffer.from(cached.bytes).toString(), "web@1");
      assert.deepEqual({ ...cached, bytes: undefined }, { ...config(1n), bytes: undefined });
      assert.equal(await cache.get("kiosk"), undefined);
    });

    it("the cache answers the last put", async () => {
      opened.cache.put("pos", config(1n));
      opened.cache.put("pos", config(2n));
      assert.equal((await answered("pos")).etag, "etag-web-2");
    });

    it("the cache answers nothing older than its time to live", async () => {
      const { cache, pass, ttlMs } = opened;
      cache.put("pos", config(1n));
      await pass(ttlMs / 2);
      await answered("pos");
      await pass(ttlMs);
      assert.equal(await cache.get("pos"), undefined);
    });

    it("the cache answers nothing made from an older revision than it was invalidated below", async () => {
      const { cache } = opened;
      cache.put("pos", config(4n));
      cache.invalidate({ kind: "app", name: "web" }, 4n);
      await answered("pos"); // 4 is not older than 4
      cache.invalidate({ kind: "app", name: "other" }, 9n);
      cache.invalidate({ kind: "cron_job", name: "web" }, 9n);
      await answered("pos"); // other entities do not count
      cache.invalidate({ kind: "app", name: "web" }, 5n);
      assert.equal(await cache.get("pos"), undefined);
    });

    it("the cache does not take in a config below an invalidation, for any order of those", async () => {
      const { cache } = opened;
      cache.invalidate({ kind: "app", name: "web" }, 5n);
      cache.invalidate({ kind: "app", name: "web" }, 3n);
      cache.put("pos", config(4n));
      assert.equal(await cache.get("pos"), undefined);
      cache.put("pos", config(5n));
      assert.equal((await answered("pos")).etag, "etag-web-5");
    });

    it("the cache is bounded: of 12,000 groups it keeps some, and the newest", async () => {
      for (let i = 0; i < 12_000; i++) {
        opened.cache.put(`group-${i}`, config(1n));
        if (i % 500 === 499) await opened.cache.get("another"); // what is offered faster than it is taken may be lost
      }
      await answered("group-11999");
    });
  });
}
