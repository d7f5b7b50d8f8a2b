import { strict as assert } from "node:assert";
import { Registry } from "prom-client";
import { ManualClock } from "../../../common/clock/manual-clock.ts";
import { isNebulaError, NebulaError } from "../../../common/errors/nebula-error.ts";
import { createMemoryFeed } from "../../../common/feed/memory-feed.ts";
import { statusAnnouncements } from "../../../common/insight/status-announcements.ts";
import { silentLog } from "../../../common/log/log.ts";
import type { ReportStore } from "../../../common/storage/report-store.ts";
import { openSqliteReportStore } from "../../../common/storage/sqlite/reports/report-store.ts";
import { eventually } from "../../../common/testing/eventually.ts";
import { readAll } from "../../../common/testing/read-all.ts";
import { sampleReport } from "../../../common/testing/sample-report.ts";
import { savePresenceAndAnnounce, saveReports, statusRow } from "../../../common/testing/save-reports.ts";
import { ConnectionState } from "../../../gen/nebula/v1/device_pb.ts";
import { TargetState } from "../../../gen/nebula/v1/report_pb.ts";
import type { DeviceChange, GroupView } from "./group-view.ts";
import { createGroupViews } from "./group-views.ts";

const never = new AbortController().signal;

/** Views over a real store, whose writes are announced unless they are to be lost. */
async function start({ devices = 0, mostBytes, registry = new Registry(), wrap = (store) => store }: Start = {}) {
  const store = await openSqliteReportStore({ path: ":memory:" });
  const clock = new ManualClock();
  const feed = createMemoryFeed({ log: silentLog });
  const reads = { lists: 0, versions: 0, watches: 0 };
  const counted = {
    ...store,
    listSummaries(...call: Parameters<ReportStore["listSummaries"]>) {
      reads.lists++;
      return store.listSummaries(...call);
    },
    listVersions(...call: Parameters<ReportStore["listVersions"]>) {
      reads.versions++;
      return store.listVersions(...call);
    },
    listPresence(...call: Parameters<ReportStore["listPresence"]>) {
      reads.watches++;
      return store.listPresence(...call);
    },
  };
  const views = createGroupViews({ store: wrap(counted), feed, clock, log: silentLog, registry, ...(mostBytes === undefined ? {} : { mostBytes }) });
  let version = 0n;

  async function put(deviceId: string, { group = "shops", state = TargetState.APPLIED, lost = false }: Put = {}): Promise<void> {
    const before = (await store.statuses([deviceId])).get(deviceId);
    const row = statusRow(sampleReport({ deviceId, deviceGroup: group, state, seq: ++version }), version);
    await store.save([{ before, row, reports: [] }]);
    if (!lost) for (const event of statusAnnouncements([{ before, row }])) feed.publish(event);
  }

  async function forget(deviceId: string, { lost = false } = {}): Promise<void> {
    const row = (await store.deleteDevice(deviceId)) ?? assert.fail("there is no device");
    version++;
    if (!lost) for (const event of statusAnnouncements([{ before: undefined, row }])) feed.publish(event);
  }

  const ids = Array.from({ length: devices }, (_, index) => `device-${1000 + index}`);
  version = 1n;
  await saveReports(store, { statuses: ids.map((deviceId) => statusRow(sampleReport({ deviceId }), 1n)) });
  return {
    store,
    clock,
    feed,
    reads,
    views,
    put,
    forget,
    async [Symbol.asyncDispose]() {
      views[Symbol.dispose]();
      await feed[Symbol.asyncDispose]();
      await store[Symbol.asyncDispose]();
    },
  };
}

type Start = { devices?: number; mostBytes?: number; registry?: Registry; wrap?: Wrap };
type Put = { group?: string; state?: TargetState; lost?: boolean };
type ViewStore = Parameters<typeof createGroupViews>[0]["store"];
type Wrap = (store: ViewStore) => ViewStore;

function contents({ devices }: GroupView): string[] {
  return [...devices.values()].map(({ deviceId, summary }) => `${deviceId}@${summary?.writtenAt}`).sort();
}

async function recount(store: ReportStore, deviceGroup = "shops"): Promise<string[]> {
  const items = await readAll((page) => store.listSummaries(deviceGroup, page), 1000);
  return items.map(({ deviceId, writtenAt }) => `${deviceId}@${writtenAt}`).sort();
}

describe("views of device groups", () => {
  it("a view has the devices of its group, page by page, and none of a group that has none", async () => {
    await using rig = await start({ devices: 1200 });
    using view = await rig.views.open("shops", never);
    using empty = await rig.views.open("none", never);
    assert.equal(view.devices.size, 1200);
    assert.deepEqual(contents(view), await recount(rig.store));
    assert.equal(empty.devices.size, 0);
    assert.ok(rig.reads.lists >= 4, `${rig.reads.lists} pages`);
  });

  it("a view follows announcements: new devices, changes, moves between groups and deletions, each with its before and after", async () => {
    await using rig = await start({ devices: 2 });
    using shops = await rig.views.open("shops", never);
    using offices = await rig.views.open("offices", never);
    const seen: string[] = [];
    const word = (device: DeviceChange["before"]) => (device === undefined ? "-" : String(device.summary?.state));
    const note = (name: string) => (changes: readonly DeviceChange[]) => {
      for (const { before, after } of changes) seen.push(`${name} ${(before ?? after)?.deviceId} ${word(before)}>${word(after)}`);
    };
    using _shops = shops.onChange(note("shops"));
    using _offices = offices.onChange(note("offices"));
    await rig.put("device-1000", { state: TargetState.FAILED });
    await rig.put("device-1", {});
    await rig.put("device-1001", { group: "offices" });
    await rig.forget("device-1");
    await eventually(() => seen.length === 5);
    assert.deepEqual(seen.toSorted(), [
      "offices device-1001 ->1",
      "shops device-1 ->1",
      "shops device-1 1>-",
      "shops device-1000 1>3",
      "shops device-1001 1>-",
    ]);
    assert.deepEqual(contents(shops), await recount(rig.store));
    assert.deepEqual(contents(offices), await recount(rig.store, "offices"));
  });

  it("readers of a group share one mirror and one load, and each has its own listeners", async () => {
    await using rig = await start({ devices: 600 });
    const [one, two] = await Promise.all([rig.views.open("shops", never), rig.views.open("shops", never)]);
    assert.equal(rig.views.mirrors, 1);
    assert.equal(rig.reads.lists, 3);
    assert.equal(one.devices, two.devices);
    let [first, second] = [0, 0];
    one.onChange(() => first++);
    two.onChange(() => second++);
    one[Symbol.dispose]();
    await rig.put("device-1000");
    await eventually(() => second === 1);
    assert.equal(first, 0);
    two[Symbol.dispose]();
  });

  it("what is announced while the group is loaded is kept", async () => {
    const { promise: entered, resolve: enter } = Promise.withResolvers<void>();
    const { promise: gate, resolve: go } = Promise.withResolvers<void>();
    await using rig = await start({
      devices: 3,
      wrap: (store) => ({
        ...store,
        async listSummaries(...call) {
          const page = await store.listSummaries(...call);
          enter();
          await gate;
          return page; // of before what is announced
        },
      }),
    });
    const opening = rig.views.open("shops", never);
    await entered;
    await rig.put("device-1000", { state: TargetState.FAILED });
    await rig.put("device-2");
    await rig.forget("device-1001");
    await new Promise((resolve) => setImmediate(resolve)).then(() => new Promise((resolve) => setImmediate(resolve)));
    go();
    using view = await opening;
    assert.deepEqual(contents(view), await recount(rig.store));
  });

  it("a reread finds what was lost: changes, new devices, moves and deletions", async () => {
    await using rig = await start({ devices: 700 });
    using view = await rig.views.open("shops", never);
    const before = contents(view);
    await rig.put("device-1000", { state: TargetState.FAILED, lost: true });
    await rig.put("device-1", { lost: true });
    await rig.put("device-1001", { group: "offices", lost: true });
    await rig.forget("device-1690", { lost: true });
    assert.deepEqual(contents(view), before);
    const changed: number[] = [];
    using _listening = view.onChange((changes) => changed.push(changes.length));
    await view.reread(never);
    assert.deepEqual(contents(view), await recount(rig.store));
    assert.equal(
      changed.reduce((sum, count) => sum + count, 0),
      4,
    );
    assert.equal(rig.reads.lists, 3, "a reread reads versions, and no summaries but of what differs");
  });

  it("a mirror with readers is read again every 30 s and after a gap of the feed, and not while it has none", async () => {
    await using rig = await start({ devices: 3 });
    const view = await rig.views.open("shops", never);
    await rig.put("device-1000", { lost: true });
    await rig.clock.advance(29_000);
    assert.equal(rig.reads.versions, 0);
    await rig.clock.advance(1500);
    await eventually(async () => assert.deepEqual(contents(view), await recount(rig.store)));
    await rig.put("device-1001", { lost: true });
    rig.feed.gap();
    await eventually(async () => assert.deepEqual(contents(view), await recount(rig.store)));
    const reads = rig.reads.versions;
    view[Symbol.dispose]();
    rig.feed.gap();
    await rig.clock.advance(45_000);
    assert.equal(rig.reads.versions, reads);
  });

  it("a mirror is read again when an announcement of its group could not be read", async () => {
    await using rig = await start({ devices: 3 });
    using view = await rig.views.open("shops", never);
    await rig.put("device-1000", { lost: true });
    rig.feed.publish({ kind: "status", deviceGroup: "tills", news: undefined });
    rig.feed.publish({ kind: "status", deviceGroup: "shops", news: undefined });
    await eventually(async () => assert.deepEqual(contents(view), await recount(rig.store)));
    assert.equal(rig.reads.versions, 1);
  });

  it("a mirror is kept for 60 s after its last reader, and is up to date for one that comes meanwhile", async () => {
    await using rig = await start({ devices: 3 });
    (await rig.views.open("shops", never))[Symbol.dispose]();
    await rig.clock.advance(50_000);
    await rig.put("device-1000", { lost: true });
    const again = await rig.views.open("shops", never);
    assert.deepEqual(contents(again), await recount(rig.store));
    assert.equal(rig.reads.lists, 1);
    await rig.clock.advance(61_000);
    assert.equal(rig.views.mirrors, 1, "it has a reader");
    again[Symbol.dispose]();
    await rig.clock.advance(59_000);
    assert.equal(rig.views.mirrors, 1);
    assert.ok(rig.views.bytes > 0);
    await rig.clock.advance(2000);
    assert.deepEqual([rig.views.mirrors, rig.views.bytes], [0, 0]);
    rig.views[Symbol.dispose]();
    await rig.clock.advance(0);
    assert.equal(rig.clock.sleeping, 0);
  });

  it("a page after the first takes a mirror as it is, unless it was read 30 s ago or the feed lost something since", async () => {
    await using rig = await start({ devices: 3 });
    const page = async (isNextPage: boolean) => {
      (await rig.views.open("shops", never, { isNextPage }))[Symbol.dispose]();
      return rig.reads.versions;
    };
    assert.equal(await page(true), 0);
    assert.equal(await page(true), 0);
    assert.equal(await page(false), 1, "a first page is read");
    assert.equal(await page(true), 1);
    rig.feed.gap();
    await eventually(async () => assert.equal(await page(true), 2));
    assert.equal(await page(true), 2);
    await rig.clock.advance(30_000);
    assert.equal(await page(true), 3);
  });

  it("a group that has no room is refused, mirrors without readers make room, and nothing stays counted", async () => {
    const registry = new Registry();
    await using rig = await start({ devices: 100, mostBytes: 171_000, registry });
    for (let index = 0; index < 60; index++) await rig.put(`till-${index}`, { group: "tills", lost: true });
    const shops = await rig.views.open("shops", never);
    const held = rig.views.bytes;
    await assert.rejects(rig.views.open("tills", never), (error) => isNebulaError(error, "resource_exhausted") && (error.retryAfterMs ?? 0) > 0);
    assert.deepEqual([rig.views.mirrors, rig.views.bytes], [1, held]);
    assert.match(await registry.metrics(), /^nebula_mirror_refused_total 1$/m);
    shops[Symbol.dispose]();
    using tills = await rig.views.open("tills", never);
    assert.equal(tills.devices.size, 60);
    assert.equal(rig.views.mirrors, 1);
  });

  it("mirrors that grow beyond their room after they were loaded end the newest views, after those without readers, and metrics tell", async () => {
    const registry = new Registry();
    await using rig = await start({ devices: 60, mostBytes: 171_000, registry });
    for (let index = 0; index < 40; index++) await rig.put(`till-${index}`, { group: "tills", lost: true });
    for (let index = 0; index < 20; index++) await rig.put(`idle-${index}`, { group: "idle", lost: true });
    const oldest = await rig.views.open("shops", never);
    const newest = await rig.views.open("tills", never);
    (await rig.views.open("idle", never))[Symbol.dispose]();
    let size = 60;
    const grow = async (devices: number) => {
      for (const until = size + devices; size < until; size++) await rig.put(`more-${size}`);
      await new Promise((resolve) => setImmediate(resolve));
    };
    assert.equal(rig.views.mirrors, 3);
    await grow(30);
    await eventually(() => rig.views.mirrors === 2);
    assert.deepEqual([oldest.ended.aborted, newest.ended.aborted], [false, false], "one without readers made room");
    await grow(20);
    await eventually(() => newest.ended.aborted);
    assert.ok(isNebulaError(newest.ended.reason, "resource_exhausted"));
    await eventually(() => oldest.devices.size === 110);
    assert.deepEqual([oldest.ended.aborted, rig.views.mirrors], [false, 1]);
    const metrics = await registry.metrics();
    for (const line of ["nebula_mirrors 1", "nebula_mirror_devices 110", "nebula_mirror_ended_total 1", "nebula_mirror_refused_total 0"]) {
      assert.ok(metrics.includes(`${line}\n`), line);
    }
    await grow(40);
    await eventually(() => oldest.ended.aborted);
    assert.deepEqual([rig.views.mirrors, rig.views.bytes], [0, 0]);
    newest[Symbol.dispose]();
    oldest[Symbol.dispose]();
    assert.deepEqual(contents(await rig.views.open("tills", never)), await recount(rig.store, "tills"), "there is room again");
  });

  it("a re-read leaves out the watches of a group where none was written since, and finds each one whose announcement was lost", async () => {
    await using rig = await start({ devices: 3 });
    const watch = (stream: number, ended = false) =>
      ({ deviceGroup: "shops", deviceId: "device-1001", shardBoot: "b", stream, ended, atMs: rig.clock.now() }) as const;
    await rig.store.markShard({ boot: "b", name: "m-1", address: "m-1:1", seenMs: rig.clock.now() });
    await rig.store.savePresence([watch(1)]);
    using view = await rig.views.open("shops", never);
    const stateOf = () => view.devices.get("device-1001")?.connection.state;
    const readsOf = async (act: () => Promise<unknown>) => {
      const before = rig.reads.watches;
      await act();
      return rig.reads.watches - before;
    };
    assert.equal(stateOf(), ConnectionState.ONLINE);
    await rig.put("device-1002", { lost: true });
    assert.equal(await readsOf(() => view.reread(never)), 0);
    await rig.store.savePresence([{ ...watch(9), deviceGroup: "offices" }]);
    assert.equal(await readsOf(() => view.reread(never)), 0, "of another group");
    await rig.store.savePresence([watch(1, true)]);
    assert.equal(await readsOf(() => view.reread(never)), 1);
    assert.equal(stateOf(), ConnectionState.OFFLINE);
    await savePresenceAndAnnounce(rig.store, rig.feed, watch(2));
    await eventually(async () => assert.equal(stateOf(), ConnectionState.ONLINE));
    assert.equal(await readsOf(() => view.reread(never)), 1, "the store may have more than was announced");
    assert.equal(await readsOf(() => view.reread(never)), 0);
    await rig.store.deletePresence([watch(2)]);
    await view.reread(never);
    assert.equal(stateOf(), ConnectionState.OFFLINE);
    assert.deepEqual(contents(view), await recount(rig.store));
  });

  it("a watch that is written between two pages of a read is found by the next one", async () => {
    const watch = (number: number) => ({ deviceGroup: "shops", deviceId: `d-${1000 + number}`, shardBoot: "b", stream: 1, ended: false, atMs: 0 });
    let isLate = false;
    await using rig = await start({
      devices: 1,
      wrap: (store) => ({
        ...store,
        async listPresence(...call) {
          const page = await store.listPresence(...call);
          if (!isLate) await rig.store.savePresence([{ ...watch(0), stream: 2, ended: true }]);
          isLate = true;
          return page;
        },
      }),
    });
    await rig.store.markShard({ boot: "b", name: "m-1", address: "m-1:1", seenMs: rig.clock.now() });
    await rig.store.savePresence(Array.from({ length: 600 }, (_, number) => watch(number)));
    using view = await rig.views.open("shops", never);
    const stateOf = () => view.devices.get("d-1000")?.connection.state;
    assert.equal(stateOf(), ConnectionState.ONLINE, "it was read before");
    await view.reread(never);
    assert.equal(stateOf(), ConnectionState.OFFLINE);
  });

  it("a store that does not answer ends the opening, and the next one reads again; a reread that fails leaves the mirror as it is", async () => {
    let isAway = true;
    const away = async () => {
      throw new NebulaError("unavailable", "the store does not answer");
    };
    await using rig = await start({
      devices: 3,
      wrap: (store) => ({
        ...store,
        listSummaries: (...call) => (isAway ? away() : store.listSummaries(...call)),
        listVersions: (...call) => (isAway ? away() : store.listVersions(...call)),
      }),
    });
    await assert.rejects(rig.views.open("shops", never), (error) => isNebulaError(error, "unavailable"));
    assert.equal(rig.views.mirrors, 0);
    isAway = false;
    using view = await rig.views.open("shops", never);
    isAway = true;
    await rig.forget("device-1000", { lost: true });
    await assert.rejects(view.reread(never), (error) => isNebulaError(error, "unavailable"));
    assert.equal(view.devices.size, 3);
    isAway = false;
    await view.reread(never);
    assert.equal(view.devices.size, 2);
  });

  it("a reader that leaves while the group is loaded does not end the load of others", async () => {
    await using rig = await start({ devices: 1200 });
    const gone = new AbortController();
    const leaving = rig.views.open("shops", gone.signal);
    const staying = rig.views.open("shops", never);
    gone.abort(new Error("the caller has gone"));
    await assert.rejects(leaving, /the caller has gone/);
    using view = await staying;
    assert.equal(view.devices.size, 1200);
  });

  it("a reread begins after it was asked for, and those who ask before it begins share it", async () => {
    await using rig = await start({ devices: 3 });
    using view = await rig.views.open("shops", never);
    const first = view.reread(never);
    await rig.put("device-1000", { lost: true });
    await Promise.all([first, view.reread(never), view.reread(never), view.reread(never)]);
    assert.deepEqual(contents(view), await recount(rig.store));
    assert.ok(rig.reads.versions <= 3, `${rig.reads.versions} reads`);
  });
});
