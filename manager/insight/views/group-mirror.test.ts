import { strict as assert } from "node:assert";
import { eventually } from "../../../common/testing/eventually.ts";
import { savePresenceAndAnnounce } from "../../../common/testing/save-reports.ts";
import { ConnectionState } from "../../../gen/nebula/v1/device_pb.ts";
import { TargetState } from "../../../gen/nebula/v1/report_pb.ts";
import { contents, recount, startViewsRig } from "../../testing/views-rig.ts";
import type { DeviceChange } from "./group-view.ts";

const never = new AbortController().signal;

describe("the mirror of a device group, as its readers see it", () => {
  it("a view has the devices of its group, page by page, and none of a group that has none", async () => {
    await using rig = await startViewsRig({ devices: 1200 });
    using view = await rig.views.open("shops", never);
    using empty = await rig.views.open("none", never);
    assert.equal(view.devices.size, 1200);
    assert.deepEqual(contents(view), await recount(rig.store));
    assert.equal(empty.devices.size, 0);
    assert.ok(rig.reads.lists >= 4, `${rig.reads.lists} pages`);
  });

  it("a view follows announcements: new devices, changes, moves between groups and deletions, each with its before and after", async () => {
    await using rig = await startViewsRig({ devices: 2 });
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

  it("what is announced while the group is loaded is kept", async () => {
    const { promise: entered, resolve: enter } = Promise.withResolvers<void>();
    const { promise: gate, resolve: go } = Promise.withResolvers<void>();
    await using rig = await startViewsRig({
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
    await using rig = await startViewsRig({ devices: 700 });
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

  it("a re-read leaves out the watches of a group where none was written since, and finds each one whose announcement was lost", async () => {
    await using rig = await startViewsRig({ devices: 3 });
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
    await using rig = await startViewsRig({
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
});
