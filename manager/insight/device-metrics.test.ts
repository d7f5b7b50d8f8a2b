import { strict as assert } from "node:assert";
import fc from "fast-check";
import { Registry } from "prom-client";
import { ManualClock } from "../../common/clock/manual-clock.ts";
import { bootsAt } from "../../common/insight/connection.ts";
import { silentLog } from "../../common/log/log.ts";
import type { Member } from "../../common/membership/membership.ts";
import { openSqliteReportStore } from "../../common/storage/sqlite/reports/report-store.ts";
import { eventually } from "../../common/testing/eventually.ts";
import { sampleReport } from "../../common/testing/sample-report.ts";
import { saveReports, statusRow } from "../../common/testing/save-reports.ts";
import { FailureCode, TargetState } from "../../gen/nebula/v1/report_pb.ts";
import { countGroup, type DeviceMetricsParts, type GroupNumbers, runDeviceMetrics, withinLabels } from "./device-metrics.ts";

const never = new AbortController().signal;
const SELF: Member = { name: "m-1", address: "127.0.0.1:1", boot: "boot-m-1" };
const OTHER: Member = { name: "m-4", address: "127.0.0.1:2", boot: "boot-m-4" };

/** A store with the devices of a few groups, and the metrics of one shard over it. */
async function start({ self = SELF, members = [self], mostGroups }: { self?: Member; members?: readonly Member[]; mostGroups?: number } = {}) {
  const store = await openSqliteReportStore({ path: ":memory:" });
  const clock = new ManualClock();
  const now = clock.now();
  const failed = { name: "web", revision: 4n, appliedRevision: 3n, state: TargetState.FAILED, failureCode: FailureCode.NO_SPACE };
  const row = (deviceId: string, deviceGroup: string, more: Parameters<typeof sampleReport>[0] = {}) =>
    statusRow(sampleReport({ deviceId, deviceGroup, receivedMs: now - 40_000, ...more }), 1n);
  await saveReports(store, {
    statuses: [
      row("pos-1", "pos"),
      row("pos-2", "pos", { receivedMs: now - 5000 }),
      row("pos-3", "pos", { state: TargetState.FAILED, apps: [failed] }),
      row("till-1", "till", { state: TargetState.WORKING }),
      row("till-2", "till", { state: TargetState.FAILED, apps: [failed, { ...failed, name: "api" }] }),
      row("van-1", "vans"),
    ],
  });
  await store.markShard({ ...SELF, seenMs: now });
  await store.markShard({ ...OTHER, boot: "dead", seenMs: now - 3_600_000 });
  const open = (deviceGroup: string, deviceId: string, shardBoot = SELF.boot, ended = false) => ({
    ...{ deviceGroup, deviceId, shardBoot, stream: 1, ended, atMs: now - 30_000 },
  });
  await store.savePresence([
    open("pos", "pos-1"),
    open("pos", "pos-2", SELF.boot, true),
    open("pos", "pos-3", "dead"),
    open("pos", "pos-4"),
    open("pos", "pos-5", SELF.boot, true),
    open("till", "till-1"),
    open("vans", "till-2"), // it moves there, and is counted where it reported from
  ]);
  const registry = new Registry();
  const counts = { groups: 0 };
  const counted: DeviceMetricsParts["store"] = {
    groups: (...call) => {
      counts.groups++;
      return store.groups(...call);
    },
    listSummaries: (...call) => store.listSummaries(...call),
    statuses: (...call) => store.statuses(...call),
    listPresence: (...call) => store.listPresence(...call),
    listShards: (...call) => store.listShards(...call),
  };
  const stop = new AbortController();
  const membership = { self, members: () => members };
  const running = runDeviceMetrics(
    { store: counted, membership, clock, log: silentLog, registry, ...(mostGroups === undefined ? {} : { mostGroups }) },
    stop.signal,
  );
  return {
    store,
    clock,
    counts,
    /** The metrics of devices, without help. */
    scrape: async () => (await registry.metrics()).split("\n").filter((line) => line !== "" && !line.startsWith("#")),
    async [Symbol.asyncDispose]() {
      stop.abort();
      await running;
      await store[Symbol.asyncDispose]();
    },
  };
}

/** Scrapes until a count is done. */
async function counted(rig: Awaited<ReturnType<typeof start>>): Promise<string[]> {
  await rig.scrape();
  let lines: string[] = [];
  await eventually(async () => {
    lines = await rig.scrape();
    assert.ok(lines.some((line) => line.startsWith("nebula_devices{")));
  });
  return lines;
}

describe("metrics of devices", () => {
  it("metrics of devices are counts by group and state, by connection and by code, and the age of the newest report", async () => {
    await using rig = await start();
    const lines = await counted(rig);
    for (const line of [
      'nebula_devices{device_group="pos",state="applied"} 2',
      'nebula_devices{device_group="pos",state="working"} 0',
      'nebula_devices{device_group="pos",state="failed"} 1',
      'nebula_devices{device_group="pos",state="unknown"} 1',
      'nebula_devices{device_group="till",state="failed"} 1',
      'nebula_devices_connected{device_group="pos",connection="online"} 2',
      'nebula_devices_connected{device_group="pos",connection="offline"} 2',
      'nebula_devices_connected{device_group="till",connection="online"} 1',
      'nebula_devices{device_group="vans",state="unknown"} 0',
      'nebula_devices_connected{device_group="vans",connection="offline"} 1',
      'nebula_newest_report_age_seconds{device_group="pos"} 5',
      'nebula_newest_report_age_seconds{device_group="till"} 40',
      'nebula_devices_with_failure_code{failure_code="no_space"} 2',
    ])
      assert.ok(lines.includes(line), `${line} is not in\n${lines.join("\n")}`);
    assert.equal(lines.length, 3 * (4 + 2 + 1) + 1 + 1);
  });

  it("metrics of devices are counted once a minute, however often they are scraped, and not while nobody scrapes them", async () => {
    await using rig = await start();
    assert.equal(rig.counts.groups, 0);
    await counted(rig);
    for (let scrape = 0; scrape < 50; scrape++) await rig.scrape();
    assert.equal(rig.counts.groups, 1);
    for (let minute = 1; minute <= 30; minute++) {
      if (minute <= 10) await eventually(() => rig.clock.sleeping > 0);
      await rig.clock.advance(60_000);
    }
    assert.equal(rig.counts.groups, 10, "counts in the 10 minutes after the last scrape, and none in the 20 after");
    await rig.scrape();
    await eventually(() => rig.counts.groups === 11);
  });

  it("metrics of devices of a group are on one shard, so that those of all shards add up", async () => {
    const groupsOn = async (self: Member) => {
      await using rig = await start({ self, members: [SELF, OTHER] });
      const lines = await counted(rig);
      return lines.flatMap((line) => /^nebula_devices\{device_group="(\w+)",state="applied"/.exec(line)?.[1] ?? []);
    };
    const [one, other] = [await groupsOn(SELF), await groupsOn(OTHER)];
    assert.ok(one.length > 0 && other.length > 0);
    assert.deepEqual([...one, ...other].sort(), ["pos", "till", "vans"]);
  });

  it("metrics of devices name the largest groups, and count the others as one", async () => {
    await using rig = await start({ mostGroups: 1 });
    const lines = await counted(rig);
    const names = new Set(lines.flatMap((line) => /device_group="(\w+)"/.exec(line)?.[1] ?? []));
    assert.deepEqual([...names], ["pos", "_others"]);
    assert.ok(lines.includes('nebula_devices{device_group="_others",state="applied"} 1'));
    assert.ok(lines.includes('nebula_devices_connected{device_group="_others",connection="offline"} 2'));
  });

  it("metrics of devices lose no device to the bound of labels, for any groups", () => {
    const numbers = fc.record({
      ...{ applied: fc.nat(50), working: fc.nat(50), failed: fc.nat(50), unknown: fc.nat(50), online: fc.nat(50), offline: fc.nat(50) },
      newestMs: fc.nat(1e6),
      codes: fc.constant(new Map<FailureCode, number>()),
    });
    const total = (groups: ReadonlyMap<string, GroupNumbers>, name: "applied" | "failed" | "online") =>
      [...groups.values()].reduce((sum, each) => sum + each[name], 0);
    fc.assert(
      fc.property(fc.dictionary(fc.stringMatching(/^[a-z]{1,8}$/), numbers), fc.integer({ min: 1, max: 5 }), (all, most) => {
        const groups = new Map(Object.entries(all));
        const labelled = withinLabels(groups, most);
        assert.ok(labelled.size <= most + 1);
        for (const name of ["applied", "failed", "online"] as const) assert.equal(total(labelled, name), total(groups, name));
      }),
    );
  });

  it("metrics of devices stay as they were, and a failure is counted, while the store does not answer", async () => {
    await using rig = await start();
    const before = (await counted(rig)).filter((line) => line.startsWith("nebula_devices{"));
    await rig.store[Symbol.asyncDispose]();
    await eventually(() => rig.clock.sleeping > 0);
    await rig.clock.advance(60_000);
    await eventually(async () => assert.ok((await rig.scrape()).includes("nebula_device_counts_failed_total 1")));
    assert.deepEqual(
      (await rig.scrape()).filter((line) => line.startsWith("nebula_devices{")),
      before,
    );
  });

  it("the count of a group reads pages: 1200 devices are each counted once", async () => {
    const store = await openSqliteReportStore({ path: ":memory:" });
    const ids = Array.from({ length: 1200 }, (_, index) => `device-${index}`);
    await saveReports(store, { statuses: ids.map((deviceId) => statusRow(sampleReport({ deviceId }), 1n)) });
    const numbers = await countGroup(store, "shops", { boots: bootsAt([], 0), now: 0 }, never);
    assert.deepEqual([numbers.applied, numbers.offline, numbers.online], [1200, 1200, 0]);
    await store[Symbol.asyncDispose]();
  });
});
