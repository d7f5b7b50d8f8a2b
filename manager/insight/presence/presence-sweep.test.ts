import { strict as assert } from "node:assert";
import { ManualClock } from "../../../common/clock/manual-clock.ts";
import { silentLog } from "../../../common/log/log.ts";
import type { PresenceRow } from "../../../common/storage/presence-store.ts";
import { openSqliteReportStore } from "../../../common/storage/sqlite/reports/report-store.ts";
import { DeviceConnections } from "./device-connections.ts";
import { sweepPresence } from "./presence-sweep.ts";

const HOUR_MS = 3_600_000;

describe("the sweep of presence", () => {
  it("a sweep leaves the row that decides of each device of a watched group, and rows of boots that were seen lately", async () => {
    await using store = await openSqliteReportStore({ path: ":memory:" });
    const clock = new ManualClock();
    const deviceConnections = new DeviceConnections({ store, ownBoot: "own", clock });
    const mark = (boot: string) => store.markShard({ boot, name: boot, address: `${boot}:1`, seenMs: clock.now() });
    const row = (deviceId: string, shardBoot: string, ended: boolean, given: Partial<PresenceRow> = {}): PresenceRow => ({
      deviceGroup: "shops",
      deviceId,
      shardBoot,
      stream: 1,
      ended,
      atMs: clock.now(),
      ...given,
    });
    await mark("dead-1");
    await store.savePresence(Array.from({ length: 700 }, (_, number) => row(`d-${number}`, "dead-1", false)));
    await store.savePresence([row("moved", "dead-1", true), row("elsewhere", "dead-1", false, { deviceGroup: "unwatched" })]);
    await clock.advance(1000);
    await mark("dead-2");
    await store.savePresence([...Array.from({ length: 700 }, (_, number) => row(`d-${number}`, "dead-2", true)), row("gone", "dead-2", true)]);
    await store.savePresence([row("moved", "dead-2", true, { deviceGroup: "offices" })]);
    await clock.advance(HOUR_MS);
    await mark("own");
    await store.savePresence(Array.from({ length: 600 }, (_, number) => row(`d-${number}`, "own", false)));

    const stop = new AbortController();
    const sweeping = sweepPresence({ store, deviceConnections, groups: () => ["shops"], clock, log: silentLog, jitter: () => 0 }, stop.signal);
    await mark("lately");
    await store.savePresence([row("d-1", "lately", true)]);
    await clock.advance(1000);
    assert.equal((await store.presenceOf(["d-1"])).get("d-1")?.length, 4);
    for (let hours = 0; hours < 4; hours++) {
      await clock.advance(HOUR_MS);
      await mark("own");
      await mark("lately");
    }
    await clock.advance(1000);
    const boots = async (deviceId: string) => (await store.presenceOf([deviceId])).get(deviceId)?.map(({ shardBoot }) => shardBoot);
    assert.deepEqual(await boots("d-0"), ["own"]);
    assert.deepEqual(await boots("d-1"), ["lately", "own"]);
    assert.deepEqual(await boots("d-699"), ["dead-2"]);
    assert.deepEqual(await boots("gone"), ["dead-2"]);
    assert.deepEqual(await boots("elsewhere"), ["dead-1"]);
    assert.deepEqual(
      (await store.presenceOf(["moved"])).get("moved")?.map(({ deviceGroup }) => deviceGroup),
      ["offices"],
    );
    stop.abort();
    await sweeping;
  });
});
