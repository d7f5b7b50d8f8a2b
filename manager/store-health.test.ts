import { strict as assert } from "node:assert";
import { ManualClock } from "../common/clock/manual-clock.ts";
import { NebulaError } from "../common/errors/nebula-error.ts";
import { silentLog } from "../common/log/log.ts";
import { StoreHealth } from "./store-health.ts";

/** How the store of a test answers. */
type Mode = "good" | "refuses" | "hangs";

describe("the health of the store", () => {
  let mode: Mode;
  let clock: ManualClock;
  let found: boolean[];
  let health: StoreHealth;
  let life: AbortController;

  beforeEach(() => {
    mode = "good";
    clock = new ManualClock();
    found = [];
    life = new AbortController();
    const configStore = {
      readCluster: (signal?: AbortSignal) => {
        if (mode === "good") return Promise.resolve({ id: "c", epoch: 1n });
        if (mode === "refuses") return Promise.reject(new NebulaError("unavailable", "the store is away"));
        return new Promise<never>((_, reject) => signal?.addEventListener("abort", () => reject(signal.reason)));
      },
    };
    health = new StoreHealth({ configStore, clock, log: silentLog, found: (impaired) => found.push(impaired) });
  });
  afterEach(() => life.abort());

  it("the health of the store is not good before the first read", async () => {
    mode = "refuses";
    void health.run(life.signal);
    await clock.advance(0);
    assert.deepEqual([health.read, health.serving], [false, false]);
    mode = "good";
    await clock.advance(5000);
    assert.deepEqual([health.read, health.serving], [true, true]);
  });

  for (const bad of ["refuses", "hangs"] as const) {
    it(`a store that ${bad} for 30 s makes the shard impaired, and the first good read makes it well`, async () => {
      void health.run(life.signal);
      await clock.advance(5000);
      assert.equal(found.at(-1), false);
      mode = bad;
      await clock.advance(10_000);
      assert.deepEqual([health.serving, health.read, found.at(-1)], [false, true, false]);
      await clock.advance(19_000);
      assert.ok(!found.includes(true), "not after less than 30 s");
      await clock.advance(15_000);
      assert.equal(found.at(-1), true);
      mode = "good";
      await clock.advance(9000);
      assert.deepEqual([health.serving, found.at(-1)], [true, false]);
    });
  }

  it("a store that answers now and then does not make the shard impaired", async () => {
    void health.run(life.signal);
    for (let round = 0; round < 8; round++) {
      mode = "refuses";
      await clock.advance(20_000);
      mode = "good";
      await clock.advance(5000);
    }
    assert.ok(found.length > 30);
    assert.ok(!found.includes(true));
  });
});
