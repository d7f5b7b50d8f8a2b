import { strict as assert } from "node:assert";
import { Registry } from "prom-client";
import { isNebulaError, NebulaError } from "../../../common/errors/nebula-error.ts";
import { eventually } from "../../../common/testing/eventually.ts";
import { contents, recount, startViewsRig } from "../../testing/views-rig.ts";

const never = new AbortController().signal;

describe("views of device groups", () => {
  it("readers of a group share one mirror and one load, and each has its own listeners", async () => {
    await using rig = await startViewsRig({ devices: 600 });
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

  it("a mirror with readers is read again every 30 s and after a gap of the feed, and not while it has none", async () => {
    await using rig = await startViewsRig({ devices: 3 });
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
    await using rig = await startViewsRig({ devices: 3 });
    using view = await rig.views.open("shops", never);
    await rig.put("device-1000", { lost: true });
    rig.feed.publish({ kind: "status", deviceGroup: "tills", news: undefined });
    rig.feed.publish({ kind: "status", deviceGroup: "shops", news: undefined });
    await eventually(async () => assert.deepEqual(contents(view), await recount(rig.store)));
    assert.equal(rig.reads.versions, 1);
  });

  it("a mirror is kept for 60 s after its last reader, and is up to date for one that comes meanwhile", async () => {
    await using rig = await startViewsRig({ devices: 3 });
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
    await using rig = await startViewsRig({ devices: 3 });
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
    await using rig = await startViewsRig({ devices: 100, mostBytes: 171_000, registry });
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
    await using rig = await startViewsRig({ devices: 60, mostBytes: 171_000, registry });
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

  it("a store that does not answer ends the opening, and the next one reads again; a reread that fails leaves the mirror as it is", async () => {
    let isAway = true;
    const away = async () => {
      throw new NebulaError("unavailable", "the store does not answer");
    };
    await using rig = await startViewsRig({
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
    await using rig = await startViewsRig({ devices: 1200 });
    const gone = new AbortController();
    const leaving = rig.views.open("shops", gone.signal);
    const staying = rig.views.open("shops", never);
    gone.abort(new Error("the caller has gone"));
    await assert.rejects(leaving, /the caller has gone/);
    using view = await staying;
    assert.equal(view.devices.size, 1200);
  });

  it("a reread begins after it was asked for, and those who ask before it begins share it", async () => {
    await using rig = await startViewsRig({ devices: 3 });
    using view = await rig.views.open("shops", never);
    const first = view.reread(never);
    await rig.put("device-1000", { lost: true });
    await Promise.all([first, view.reread(never), view.reread(never), view.reread(never)]);
    assert.deepEqual(contents(view), await recount(rig.store));
    assert.ok(rig.reads.versions <= 3, `${rig.reads.versions} reads`);
  });
});
