import { strict as assert } from "node:assert";
import fc from "fast-check";
import { ManualClock } from "../../../common/clock/manual-clock.ts";
import type { Announcement } from "../../../common/feed/change-feed.ts";
import { bootsAt, connectionOf } from "../../../common/insight/connection.ts";
import { silentLog } from "../../../common/log/log.ts";
import type { PresenceRow } from "../../../common/storage/presence-store.ts";
import { openSqliteReportStore } from "../../../common/storage/sqlite/reports/report-store.ts";
import { eventually } from "../../../common/testing/eventually.ts";
import { ConnectionState } from "../../../gen/nebula/v1/device_pb.ts";
import { BATCH, GRACE_MS, MOVE_MS, PresenceWriter, ROUND } from "./presence-writer.ts";

const SHARD = { name: "m-1", address: "m-1:50051" };

/** A writer over a real store, which is away on demand, on a clock of the test. */
async function start({ marks = true } = {}) {
  const store = await openSqliteReportStore({ path: ":memory:" });
  const clock = new ManualClock();
  const counts = { ok: 0, failed: 0, dropped: 0 };
  const announced: Announcement[] = [];
  const batches: (readonly PresenceRow[])[] = [];
  const state = { away: false, marks };
  const writer = new PresenceWriter({
    store: {
      async savePresence(rows, signal) {
        if (state.away) throw new Error("away");
        batches.push(rows);
        await store.savePresence(rows, signal);
      },
      async markShard(shard) {
        if (state.away || !state.marks) throw new Error("away");
        await store.markShard(shard);
      },
    },
    changeFeed: { publish: (announcement) => void announced.push(announcement) },
    boot: "boot-1",
    clock,
    log: silentLog,
    metrics: {
      wrote(result, devices) {
        counts[result] += devices;
      },
      dropped(devices) {
        counts.dropped += devices;
      },
    },
  });
  writer.start(SHARD);
  await clock.advance(0);
  return {
    writer,
    store,
    clock,
    counts,
    announced,
    batches,
    state,
    rows: async (deviceId: string) => (await store.presenceOf([deviceId])).get(deviceId) ?? [],
    async [Symbol.asyncDispose]() {
      await writer.stop(1000);
      await store[Symbol.asyncDispose]();
    },
  };
}

describe("the writer of presence", () => {
  it("a device that was redirected to another shard is left open for longer, and for good if this shard stops meanwhile", async () => {
    await using rig = await start();
    for (const deviceId of ["moves", "moves later", "leaves"]) rig.writer.opened("shops", deviceId);
    await rig.clock.advance(250);
    rig.writer.closed("moves", true);
    rig.writer.closed("leaves");
    assert.equal(rig.writer.online, 1);
    await rig.clock.advance(GRACE_MS + 500);
    const ends = async (deviceId: string) => (await rig.rows(deviceId)).map(({ ended }) => ended);
    assert.deepEqual([await ends("moves"), await ends("leaves")], [[false], [true]]);
    await rig.clock.advance(MOVE_MS);
    assert.deepEqual(await ends("moves"), [true]);
    rig.writer.closed("moves later", true);
    await rig.writer.stop(1000);
    assert.deepEqual(await ends("moves later"), [false]);
  });

  it("a device that opens a watch is written and announced, with the boot of the shard", async () => {
    await using rig = await start();
    const openedMs = rig.clock.now();
    rig.writer.opened("shops", "d-1");
    await rig.clock.advance(250);
    const row = { deviceGroup: "shops", deviceId: "d-1", shardBoot: "boot-1", stream: 1, ended: false, atMs: openedMs };
    assert.deepEqual(await rig.rows("d-1"), [row]);
    const [announcement, ...more] = rig.announced;
    assert.ok(announcement?.kind === "status" && announcement.deviceGroup === "shops" && more.length === 0);
    const presence = announcement.news?.presence ?? assert.fail();
    assert.deepEqual(
      presence.map(({ deviceId, shardBoot, stream, ended, atMs }) => [deviceId, shardBoot, stream, ended, Number(atMs)]),
      [["d-1", "boot-1", 1n, false, openedMs]],
    );
    assert.deepEqual(
      (await rig.store.listShards()).map(({ boot, name, address }) => [boot, name, address]),
      [["boot-1", "m-1", "m-1:50051"]],
    );
  });

  it("the version of a worker is written with its watch, and again when the device returns with another one", async () => {
    await using rig = await start();
    const versions = async () => (await rig.rows("d-1")).map(({ workerVersion, ended, stream }) => [workerVersion, ended, stream]);
    rig.writer.opened("shops", "d-1", "0.1.0");
    await rig.clock.advance(250);
    rig.writer.closed("d-1");
    rig.writer.opened("shops", "d-1", "0.1.0");
    await rig.clock.advance(GRACE_MS);
    assert.deepEqual([await versions(), rig.batches.length], [[["0.1.0", false, 1]], 1]);
    rig.writer.closed("d-1");
    rig.writer.opened("shops", "d-1", "0.2.0");
    await rig.clock.advance(GRACE_MS);
    assert.deepEqual(await versions(), [["0.2.0", false, 2]]);
    rig.writer.closed("d-1");
    await rig.clock.advance(2 * GRACE_MS);
    assert.deepEqual(await versions(), [["0.2.0", true, 2]]);
  });

  it("a device is ended with its last watch, at the time at which that closed, once it has not returned for a while", async () => {
    await using rig = await start();
    rig.writer.opened("shops", "d-1");
    rig.writer.opened("shops", "d-1"); // a second worker with its id
    await rig.clock.advance(1000);
    rig.writer.closed("d-1");
    await rig.clock.advance(GRACE_MS * 3);
    assert.deepEqual([(await rig.rows("d-1"))[0]?.ended, rig.writer.online], [false, 1]);
    rig.writer.closed("d-1");
    const closedMs = rig.clock.now();
    await rig.clock.advance(GRACE_MS - 250);
    assert.deepEqual([(await rig.rows("d-1"))[0]?.ended, rig.writer.online], [false, 0]);
    await rig.clock.advance(500);
    const [row] = await rig.rows("d-1");
    assert.deepEqual([row?.ended, row?.stream, row?.atMs], [true, 1, closedMs]);
  });

  it("a device that returns within 2 s never left: nothing is written", async () => {
    await using rig = await start();
    rig.writer.opened("shops", "d-1");
    await rig.clock.advance(250);
    const before = rig.batches.length;
    for (let round = 0; round < 20; round++) {
      rig.writer.closed("d-1");
      await rig.clock.advance(GRACE_MS - 10);
      rig.writer.opened("shops", "d-1");
      await rig.clock.advance(10);
    }
    assert.deepEqual([before, rig.batches.length, (await rig.rows("d-1"))[0]?.ended], [1, 1, false]);
    assert.equal(GRACE_MS, 2000);
  });

  it("a device that returns later is online again, under a larger stream", async () => {
    await using rig = await start();
    rig.writer.opened("shops", "d-1");
    await rig.clock.advance(250);
    rig.writer.closed("d-1");
    await rig.clock.advance(5000);
    rig.writer.opened("shops", "d-1");
    await rig.clock.advance(250);
    const [row] = await rig.rows("d-1");
    assert.deepEqual([row?.ended, row?.stream, rig.batches.length], [false, 2, 3]);
  });

  it("a device that comes back under another device_group has left the one before, however soon", async () => {
    await using rig = await start();
    rig.writer.opened("shops", "d-1");
    await rig.clock.advance(250);
    rig.writer.closed("d-1");
    rig.writer.opened("offices", "d-1");
    await rig.clock.advance(250);
    assert.deepEqual(
      (await rig.rows("d-1")).map(({ deviceGroup, ended }) => [deviceGroup, ended]),
      [
        ["offices", false],
        ["shops", true],
      ],
    );
    assert.deepEqual(
      rig.announced.map((each) => each.kind === "status" && each.deviceGroup),
      ["shops", "offices", "shops"],
    );
  });

  it("very many devices are written in batches of 500, one every 250 ms", async () => {
    await using rig = await start();
    for (let number = 0; number < 1700; number++) rig.writer.opened("shops", `d-${number}`);
    const sizes: number[] = [];
    for (let round = 0; round < 5; round++) {
      await rig.clock.advance(250);
      sizes.push(rig.batches.reduce((sum, rows) => sum + rows.length, 0));
    }
    assert.deepEqual([sizes, BATCH], [[500, 1000, 1500, 1700, 1700], 500]);
  });

  it("devices that wait together are written in the order of their keys, in any order of their watches", async () => {
    await using rig = await start();
    const keys = Array.from({ length: 1200 }, (_, number) => [number % 2 === 0 ? "shops" : "offices", `d-${1000 + ((number * 7) % 1200)}`] as const);
    for (const [group, deviceId] of keys) rig.writer.opened(group, deviceId);
    await rig.clock.advance(1000);
    const written = rig.batches.flat().map(({ deviceGroup, deviceId }) => `${deviceGroup} ${deviceId}`);
    assert.deepEqual(written, keys.map(([group, deviceId]) => `${group} ${deviceId}`).sort());
  });

  it("devices of a later round are written after all that waited before them, and none waits longer for devices that keep coming", async () => {
    await using rig = await start();
    const devices = ROUND + 100;
    for (let number = 0; number < devices; number++) rig.writer.opened("shops", `z-${number}`);
    for (let tick = 0, added = 0; tick < (2 * devices) / BATCH; tick++) {
      for (let each = 0; each < BATCH; each++) rig.writer.opened("shops", `a-${added++}`); // before all others by their keys
      await rig.clock.advance(250);
    }
    const written = rig.batches.flat().map(({ deviceId }) => deviceId);
    assert.ok(written.slice(0, ROUND).every((deviceId) => Number(deviceId.slice("z-".length)) < ROUND));
    const last = written.findLastIndex((deviceId) => deviceId.startsWith("z-"));
    assert.deepEqual([written.filter((deviceId) => deviceId.startsWith("z-")).length, new Set(written).size], [devices, written.length]);
    assert.ok(last < 2 * ROUND && written.length > last, `${last} of ${written.length}`);
  });

  it("a device that changes while its round is written is written as it is by then, and devices of a batch that failed are written again", async () => {
    await using rig = await start();
    for (let number = 0; number < 3 * BATCH; number++) rig.writer.opened("shops", `d-${1000 + number}`);
    await rig.clock.advance(250);
    rig.writer.closed("d-2400");
    rig.state.away = true;
    await rig.clock.advance(GRACE_MS + 500);
    assert.deepEqual([rig.batches.length, rig.writer.waiting], [1, 2 * BATCH]);
    rig.state.away = false;
    await rig.clock.advance(10_000);
    assert.deepEqual([rig.batches.length, rig.writer.waiting, rig.batches.flat().length], [3, 0, 3 * BATCH]);
    assert.deepEqual([(await rig.rows("d-2400"))[0]?.ended, (await rig.rows("d-2399"))[0]?.ended], [true, false]);
  });

  it("the newest state of each device waits while the store is away, and is written once it answers", async () => {
    await using rig = await start();
    rig.writer.opened("shops", "stays");
    await rig.clock.advance(250);
    rig.state.away = true;
    for (let round = 0; round < 5; round++) {
      rig.writer.opened("shops", "d-1");
      rig.writer.opened("shops", `new-${round}`);
      await rig.clock.advance(100);
      rig.writer.closed("d-1");
      await rig.clock.advance(8000);
    }
    assert.deepEqual([rig.writer.waiting, await rig.rows("d-1")], [6, []]);
    assert.ok(rig.counts.failed > 0 && rig.batches.length === 1, JSON.stringify(rig.counts));
    rig.state.away = false;
    await rig.clock.advance(10_000);
    assert.deepEqual([rig.writer.waiting, (await rig.rows("d-1"))[0]?.ended, (await rig.rows("new-4"))[0]?.ended], [0, true, false]);
    assert.deepEqual([rig.writer.online, rig.counts.dropped], [6, 0]);
  });

  it("nothing is written before the boot of the shard is marked", async () => {
    await using rig = await start({ marks: false });
    rig.writer.opened("shops", "d-1");
    await rig.clock.advance(20_000);
    assert.deepEqual([rig.batches.length, rig.writer.waiting], [0, 1]);
    rig.state.marks = true;
    await rig.clock.advance(10_000);
    assert.deepEqual([rig.batches.length, rig.writer.waiting], [1, 0]);
  });

  it("a shard is marked every 10 s, and soon again after a mark that failed", async () => {
    await using rig = await start();
    const seen = async () => (await rig.store.listShards())[0]?.seenMs ?? 0;
    const first = await seen();
    await rig.clock.advance(30_000);
    assert.equal((await seen()) - first, 30_000);
    rig.state.away = true;
    await rig.clock.advance(60_000);
    assert.equal((await seen()) - first, 30_000);
    rig.state.away = false;
    await rig.clock.advance(5000);
    assert.ok((await seen()) - first > 89_000);
  });

  it("a stop writes the end of each device, without a wait", async () => {
    await using rig = await start();
    for (let number = 0; number < 1200; number++) rig.writer.opened("shops", `d-${number}`);
    await rig.clock.advance(1000);
    for (let number = 0; number < 1200; number++) rig.writer.closed(`d-${number}`);
    await rig.writer.stop(30_000);
    const page = await rig.store.listPresence("shops", { limit: 1000 });
    assert.ok(page.items.length === 1000 && page.items.every(({ ended }) => ended));
    assert.deepEqual([rig.writer.online, rig.writer.waiting, rig.counts.dropped], [0, 0, 0]);
  });

  it("a stop ends within its limit while the store is away, and counts what it drops", async () => {
    await using rig = await start();
    rig.writer.opened("shops", "d-1");
    await rig.clock.advance(250);
    rig.state.away = true;
    rig.writer.closed("d-1");
    await rig.writer.stop(30_000);
    assert.deepEqual([(await rig.rows("d-1"))[0]?.ended, rig.counts.dropped], [false, 1]);
  });

  it("a stop does not wait longer than its limit for a write without an answer", async () => {
    const never = new Promise<void>(() => {});
    const clock = new ManualClock();
    const writer = new PresenceWriter({
      store: { savePresence: () => never, markShard: async () => {} },
      changeFeed: { publish: () => {} },
      boot: "boot-1",
      clock,
      log: silentLog,
      metrics: { wrote: () => {}, dropped: () => {} },
    });
    writer.start(SHARD);
    writer.opened("shops", "d-1");
    await clock.advance(500);
    let stopped = false;
    void writer.stop(20).then(() => {
      stopped = true;
    });
    await eventually(() => stopped);
  });

  it("after any openings and ends, the store says of each device what is so, once all is written", async () => {
    const anyStep = fc.record({
      device: fc.integer({ min: 0, max: 3 }),
      opens: fc.boolean(),
      group: fc.constantFrom("shops", "offices"),
      waitMs: fc.constantFrom(0, 0, 100, 1990, 2600),
      away: fc.boolean(),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(anyStep, { maxLength: 40 }), async (steps) => {
        await using rig = await start();
        const open = new Map<string, string[]>();
        for (const { device, opens, group, waitMs, away } of steps) {
          const deviceId = `d-${device}`;
          const watches = open.get(deviceId) ?? [];
          if (opens) {
            watches.push(group);
            rig.writer.opened(group, deviceId);
          } else if (watches.pop() !== undefined) rig.writer.closed(deviceId);
          open.set(deviceId, watches);
          rig.state.away = away;
          await rig.clock.advance(waitMs);
        }
        rig.state.away = false;
        await rig.clock.advance(15_000);
        const nowMs = rig.clock.now();
        const boots = bootsAt(await rig.store.listShards(), nowMs);
        assert.deepEqual([rig.writer.waiting, rig.writer.online], [0, [...open.values()].filter(({ length }) => length > 0).length]);
        for (const [deviceId, watches] of open) {
          const { state } = connectionOf(await rig.rows(deviceId), undefined, boots, nowMs);
          const hasConnected = steps.some(({ device, opens }) => opens && `d-${device}` === deviceId);
          const expected = watches.length > 0 ? ConnectionState.ONLINE : hasConnected ? ConnectionState.OFFLINE : ConnectionState.UNSPECIFIED;
          assert.equal(state, expected, deviceId);
        }
      }),
      { numRuns: 60 },
    );
  });
});
