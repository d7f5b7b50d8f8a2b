import { strict as assert } from "node:assert";
import { ManualClock } from "../../common/clock/manual-clock.ts";
import { type RecheckEvent, RecheckRequests, recheck } from "./recheck.ts";

const EVERY_MS = 10_000;

/** Starts a recheck over a store that answers at once; `begun` are the times of its rounds, milliseconds. */
async function start() {
  const clock = new ManualClock();
  const life = new AbortController();
  const requests = new RecheckRequests();
  const begun: number[] = [];
  const cluster = { id: "00", epoch: 1n };
  const store = { cluster, readCluster: async () => cluster, revisions: async () => [1n] };
  const keys = () => [{ kind: "app" as const, name: "web" }];
  const running = noteRounds(recheck({ store, keys, clock, everyMs: EVERY_MS, requests, signal: life.signal }), () => begun.push(clock.monotonic()));
  await clock.advance(0);
  return {
    clock,
    requests,
    begun,
    async [Symbol.asyncDispose]() {
      life.abort();
      await running;
      assert.equal(clock.sleeping, 0);
    },
  };
}

async function noteRounds(events: AsyncIterable<RecheckEvent>, begun: () => void): Promise<void> {
  for await (const event of events) {
    if (event.kind === "begun") begun();
    else assert.equal(event.kind, "revisions");
  }
}

describe("recheck", () => {
  it("the re-check begins a round every interval, and at once when one is requested", async () => {
    await using rig = await start();
    await rig.clock.advance(EVERY_MS);
    await rig.clock.advance(5000);
    rig.requests.ask();
    await rig.clock.advance(0);
    assert.deepEqual(rig.begun, [10_000, 15_000]);
    await rig.clock.advance(EVERY_MS);
    assert.deepEqual(rig.begun, [10_000, 15_000, 25_000], "the interval counts from the last round");
  });

  it("the re-check begins the first round at once if it is requested right after the start", async () => {
    await using rig = await start();
    rig.requests.ask();
    await rig.clock.advance(0);
    assert.deepEqual(rig.begun, [0]);
  });

  it("the re-check begins a round every 2 s at most under a feed that breaks without pause, and one after its last gap", async () => {
    await using rig = await start();
    for (let ms = 0; ms < 20_000; ms += 100) {
      rig.requests.ask();
      await rig.clock.advance(100);
    }
    assert.deepEqual(
      rig.begun,
      Array.from({ length: 11 }, (_, round) => 2000 * round),
    );
    await rig.clock.advance(EVERY_MS);
    assert.deepEqual(rig.begun.slice(11), [30_000], "a request counts once");
  });
});
