import { strict as assert } from "node:assert";
import type { Clock } from "../clock/clock.ts";
import type { CachedConfig, ConfigCache } from "./config-cache.ts";

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

/** What every ConfigCache promises. `open` yields an empty one. */
export function describeConfigCache(driver: string, open: () => Promise<OpenedConfigCache>): void {
  describe(`ConfigCache: ${driver}`, () => {
    let opened: OpenedConfigCache;
    beforeEach(async () => {
      opened = await open();
    });
    afterEach(async () => {
      await opened.cache[Symbol.asyncDispose]();
    });

    it("answers what was put, byte for byte, and nothing for another group", async () => {
      const { cache } = opened;
      await cache.put("pos", config(1n));
      const cached = await cache.get("pos");
      assert.deepEqual(Buffer.from(cached?.bytes ?? []).toString(), "web@1");
      assert.deepEqual({ ...cached, bytes: undefined }, { ...config(1n), bytes: undefined });
      assert.equal(await cache.get("kiosk"), undefined);
    });

    it("answers the last put", async () => {
      await opened.cache.put("pos", config(1n));
      await opened.cache.put("pos", config(2n));
      assert.equal((await opened.cache.get("pos"))?.etag, "etag-web-2");
    });

    it("answers nothing older than its time to live", async () => {
      const { cache, pass, ttlMs } = opened;
      await cache.put("pos", config(1n));
      await pass(ttlMs / 2);
      assert.ok(await cache.get("pos"));
      await pass(ttlMs);
      assert.equal(await cache.get("pos"), undefined);
    });

    it("answers nothing made from an older revision than it was told of", async () => {
      const { cache } = opened;
      await cache.put("pos", config(4n));
      cache.told({ kind: "app", name: "web" }, 4n);
      assert.ok(await cache.get("pos"), "4 is not older than 4");
      cache.told({ kind: "app", name: "other" }, 9n);
      cache.told({ kind: "cron_job", name: "web" }, 9n);
      assert.ok(await cache.get("pos"), "other entities do not count");
      cache.told({ kind: "app", name: "web" }, 5n);
      assert.equal(await cache.get("pos"), undefined);
    });

    it("does not take in what is older than it was told of, whichever was told last", async () => {
      const { cache } = opened;
      cache.told({ kind: "app", name: "web" }, 5n);
      cache.told({ kind: "app", name: "web" }, 3n);
      await cache.put("pos", config(4n));
      assert.equal(await cache.get("pos"), undefined);
      await cache.put("pos", config(5n));
      assert.equal((await cache.get("pos"))?.etag, "etag-web-5");
    });

    it("is bounded: of 30,000 groups it keeps some, and the newest", async () => {
      for (let i = 0; i < 30_000; i++) await opened.cache.put(`group-${i}`, config(1n));
      assert.ok(await opened.cache.get("group-29999"));
    });
  });
}
