import { strict as assert } from "node:assert";
import { setImmediate as turn } from "node:timers/promises";
import { create, toBinary } from "@bufbuild/protobuf";
import { ManualClock } from "../../../common/clock/manual-clock.ts";
import { isNebulaError } from "../../../common/errors/nebula-error.ts";
import { eventuallyCollected } from "../../../common/testing/eventually.ts";
import { DeleteDeviceGroupRequestSchema, DeviceGroupSchema } from "../../../gen/nebula/v1/device_group_pb.ts";
import { TargetState } from "../../../gen/nebula/v1/report_pb.ts";
import type { Principal } from "../../access/principal.ts";
import { callOf } from "../../testing/entity-rig.ts";
import { ADMIN, app, numbers, STRANGER, startFleet, startFleetRig, user, watchTestOverview } from "../../testing/fleet-rig.ts";
import type { FleetViews, GroupInFleet } from "./fleet-view.ts";

/**
 * Streams of a fleet of groups without room. `looks` answers how often the streams went through all groups, `reads` how often they read the numbers of one, `change`
 * changes one of them.
 */
function uncountedFleet(size: number) {
  const clock = new ManualClock();
  let [looks, reads] = [0, 0];
  const groups = new (class extends Map<string, GroupInFleet> {
    override values() {
      looks++;
      return super.values();
    }
  })();
  const put = (deviceGroup: string, stamp: number) =>
    groups.set(deviceGroup, {
      ...{ deviceGroup, config: undefined, standing: undefined, isUncounted: true, stamp },
      get neverCame() {
        reads++;
        return stamp;
      },
    });
  const names = Array.from({ length: size }, (_, index) => `g-${String(index).padStart(3, "0")}`);
  for (const name of names) put(name, 0);
  let changed = () => {};
  const fleetViews: FleetViews = {
    open: () => ({
      groups,
      groupsOf: () => [],
      newestOf: () => undefined,
      changes: [],
      hasMoreChanges: false,
      ready: async () => {},
      onChange(listener) {
        changed = listener;
        return { [Symbol.dispose]() {} };
      },
      [Symbol.dispose]() {},
    }),
  };
  return {
    clock,
    names,
    looks: () => looks,
    reads: () => reads,
    change(name: string) {
      put(name, 1);
      changed();
    },
    open: (principal: Principal) => watchTestOverview({ fleetViews, clock }, {}, principal),
    /** A stream that sent all, and waits. */
    async watch(principal: Principal = ADMIN) {
      const stream = watchTestOverview({ fleetViews, clock }, {}, principal);
      await stream.until(() => stream.came.some(({ message }) => message.complete));
      await clock.advance(1000);
      return stream;
    },
  };
}

describe("a stream of the overview", () => {
  it("a device that moves counts in its old group until it reports from the new one, then in that", async () => {
    await using rig = await startFleetRig();
    await rig.put("mover", "shops", { apps: [app("web")] });
    const stream = rig.watch();
    const shown = (name: string) =>
      numbers(stream.came.flatMap(({ message }) => message.groups).findLast(({ deviceGroup }) => deviceGroup === name)?.states);
    const become = (shops: RegExp, tills: RegExp) => stream.until(() => shops.test(shown("shops")) && tills.test(shown("tills")));
    const all = () => stream.newest().fleet?.states;
    await become(/^applied 1 /, /waiting 0 /);
    await rig.connect("mover", "tills");
    await rig.connect("new", "tills"); // it is counted after the other one
    await become(/^applied 1 /, /working 0 waiting 1 /);
    assert.deepEqual([all()?.applied, all()?.waiting], [1n, 1n]);
    await rig.put("mover", "tills", { apps: [app("web"), app("pos")] });
    await become(/^applied 0 /, /^applied 1 .* waiting 1 /);
    stream.end();
    await assert.rejects(stream.ended);
  });

  it("the stream sends all groups first, then only what changed, at most four messages a second", async () => {
    await using rig = await startFleet();
    const stream = rig.watch();
    await stream.until(() => stream.came.some(({ message }) => message.complete));
    const first = stream.came.flatMap(({ message }) => message.groups);
    assert.deepEqual(first.map(({ deviceGroup }) => deviceGroup).sort(), ["shops", "tills"]);
    assert.equal(numbers(stream.newest().fleet?.states), "applied 2 failed 1 offline 1 working 0 waiting 1 never 1 online 4");

    const before = stream.came.length;
    await rig.clock.advance(20_000);
    assert.equal(stream.came.length, before, "nothing changed, and nothing is said");

    const begun = rig.clock.monotonic();
    for (let round = 0; round < 40; round++) {
      const state = round % 2 === 0 ? TargetState.WORKING : TargetState.APPLIED;
      await rig.put("till-1", "tills", { state, apps: [app("web"), app("pos", { state })] });
      await rig.clock.advance(50);
    }
    await rig.clock.advance(1000);
    const told = stream.came.slice(before);
    assert.ok(told.length >= 2 && told.length <= 12, `${told.length} messages in 3 s`);
    for (const [index, { atMs }] of told.entries()) assert.ok(atMs - (told[index - 1]?.atMs ?? begun - 250) >= 250);
    assert.ok(told.every(({ message }) => message.groups.every(({ deviceGroup }) => deviceGroup === "tills") && message.recentChanges === undefined));
    assert.equal(numbers(stream.newest().fleet?.states), "applied 2 failed 1 offline 1 working 0 waiting 1 never 1 online 4");
    stream.end();
    await assert.rejects(stream.ended, /over/);
  });

  it("the stream follows changes of an app, groups that are created and deleted, and devices that come", async () => {
    await using rig = await startFleet();
    const stream = rig.watch({ members: true });
    const group = (name: string) => stream.came.flatMap(({ message }) => message.groups).findLast(({ deviceGroup }) => deviceGroup === name);
    await stream.until(() => stream.came.some(({ message }) => message.complete));

    await rig.updateWeb();
    await rig.audit("app", "web", 1n, 2n);
    await stream.until(() => group("tills")?.states?.working === 1n && group("shops")?.members[0]?.newest?.revision === 2n);
    await stream.until(() => stream.came.some(({ message }) => message.recentChanges?.changes[0]?.states?.waiting === 4n));
    await rig.put("till-1", "tills", { apps: [app("web", { revision: 2n, appliedRevision: 2n }), app("pos")] });
    await stream.until(() => group("tills")?.states?.applied === 1n);
    await stream.until(() => stream.came.some(({ message }) => message.recentChanges?.changes[0]?.states?.applied === 1n));

    await rig.createGroup("offices", ["web"]);
    await stream.until(() => group("offices") !== undefined);
    await rig.groups.deleteDeviceGroup(create(DeleteDeviceGroupRequestSchema, { name: "offices" }), callOf("ann"));
    await stream.until(() => stream.came.some(({ message }) => message.left.includes("offices")));

    await rig.put("absent", "shops", { apps: [app("web", { revision: 2n, appliedRevision: 2n })] });
    await stream.until(() => group("shops")?.states?.neverCame === 0n && group("shops")?.states?.applied === 1n);
    stream.end();
  });

  it("the stream says that a group left which does not exist, when its last device moves to another", async () => {
    await using rig = await startFleet();
    await rig.put("x", "old");
    const stream = rig.watch();
    await stream.until(() => stream.came.some(({ message }) => message.complete));
    assert.equal(stream.newest().fleet?.deviceGroups, 3n);
    await rig.put("x", "shops");
    await stream.until(() => stream.came.some(({ message }) => message.left.includes("old")));
    assert.equal(stream.newest().fleet?.deviceGroups, 2n);
    stream.end();
  });

  it("the stream follows apps that a group names before they exist, with announcements and without", async () => {
    await using rig = await startFleet();
    const apps = ["map", "ads"];
    const body = toBinary(DeviceGroupSchema, create(DeviceGroupSchema, { name: "kiosks", apps }));
    const row = {
      kind: "device_group",
      name: "kiosks",
      revision: 1n,
      expected: 0n,
      deleted: false,
      action: "create",
      changedAt: 0,
      changedBy: "",
    } as const;
    await rig.store.write({ ...row, body, members: { apps, cronJobs: [] } });
    await rig.put("kiosk", "kiosks", { apps: [] });
    await rig.online("kiosk", "kiosks");
    const stream = rig.watch();
    const applied = () =>
      stream.came.flatMap(({ message }) => message.groups).findLast(({ deviceGroup }) => deviceGroup === "kiosks")?.states?.applied;
    await stream.until(() => applied() === 1n);
    await rig.createApp("map");
    await stream.until(() => applied() === 0n);
    await rig.put("kiosk", "kiosks", { apps: [app("map")] });
    await stream.until(() => applied() === 1n);

    const { publish } = rig.deps.changeFeed;
    rig.deps.changeFeed.publish = () => {};
    await rig.createApp("ads");
    rig.deps.changeFeed.publish = publish;
    const begun = rig.clock.monotonic();
    await stream.until(() => applied() === 0n);
    assert.ok(rig.clock.monotonic() - begun <= 17_000, "it took longer than 15 s");
    stream.end();
  });

  it("the stream sends the names of all groups that left without a pause, and says that it is complete with the last of them", async () => {
    const fleet = uncountedFleet(450);
    const stream = await fleet.watch();
    const before = stream.came.length;
    const left = () => stream.came.slice(before).flatMap(({ message }) => message.left);
    stream.allow(STRANGER);
    await stream.until(() => left().length === 450);
    assert.deepEqual(left(), fleet.names);
    assert.deepEqual(
      stream.came.slice(before).map(({ atMs, message }) => [message.left.length, message.complete, atMs - (stream.came[before]?.atMs ?? 0)]),
      [
        [200, false, 0],
        [200, false, 0],
        [50, true, 0],
      ],
    );
    stream.end();
  });

  it("the stream goes through all groups once when rights change, reads them in turns of the event loop, and does nothing when rights stay the same", async () => {
    const size = 1050;
    const fleet = uncountedFleet(size);
    const may = (level: string) => user({ deviceGroups: { "*": level } });
    const stream = await fleet.watch(may("ro"));
    const sent = stream.came.length;
    /** How often all groups were gone through, and the numbers of one read, in each turn. */
    const turnsWith = async (now: Principal) => {
      const turns: [looks: number, reads: number][] = [];
      stream.allow(now);
      for (let count = 0; count < 20; count++) {
        const before = [fleet.looks(), fleet.reads()] as const;
        await turn();
        turns.push([fleet.looks() - before[0], fleet.reads() - before[1]]);
      }
      return turns;
    };
    assert.deepEqual(await turnsWith(may("ro")), Array(20).fill([0, 0]));
    const turns = (await turnsWith(may("rw"))).filter(([looks, reads]) => looks + reads > 0);
    const others = [200, 200, 200, 200, 50].map((reads) => [0, 2 * reads]);
    assert.deepEqual(turns, [[1, 2 * (size + 200)], ...others], "all are counted once, and 200 sent in a turn, each by two reads");
    const again = stream.came.slice(sent).flatMap(({ message }) => message.groups);
    assert.deepEqual(again, [], "no group differs from what was sent");
    stream.end();
  });

  it("rights that change while groups are sent have no group sent that may not be read any more, and those that were sent leave", async () => {
    const fleet = uncountedFleet(450);
    const stream = fleet.open(user({ deviceGroups: { "*": "ro" } }));
    await turn();
    const [before, sent] = [stream.came.length, stream.came.flatMap(({ message }) => message.groups).length];
    assert.ok(sent > 0 && sent < 450, `${sent} of 450 groups were sent`);
    const [first = "", ...others] = fleet.names;
    stream.allow(user({ deviceGroups: { [first]: "ro" } }));
    await stream.until(() => stream.came.some(({ message }) => message.complete));
    const after = stream.came.slice(before);
    assert.deepEqual(
      after.flatMap(({ message }) => message.groups),
      [],
    );
    assert.deepEqual(
      after.flatMap(({ message }) => message.left),
      others.slice(0, sent - 1),
    );
    assert.equal(stream.newest().fleet?.deviceGroups, 1n);
    stream.end();
  });

  it("the stream keeps no overview of a group that it sent", async () => {
    const fleet = uncountedFleet(3);
    const stream = await fleet.watch();
    const sent = stream.came.flatMap(({ message }) => message.groups.map((group) => new WeakRef(group)));
    assert.equal(sent.length, 3);
    stream.came.length = 0;
    fleet.change("g-000");
    await stream.until(() => stream.came.length > 0);
    assert.deepEqual(
      stream.came.flatMap(({ message }) => message.groups.map(({ deviceGroup }) => deviceGroup)),
      ["g-000"],
    );
    await eventuallyCollected(sent);
    stream.end();
  });

  it("the stream leaves groups and changes that the caller may not read any more, and ends for one that is named", async () => {
    await using rig = await startFleet();
    await rig.audit("app", "web", 0n, 1n);
    const may = user({ apps: { web: "ro" }, deviceGroups: { tills: "ro", shops: "ro" } });
    const stream = rig.watch({}, may);
    await stream.until(() => stream.came.some(({ message }) => message.complete));
    stream.allow(user({ deviceGroups: { tills: "ro" } }));
    await stream.until(() => stream.came.some(({ message }) => message.left.includes("shops")));
    const { fleet, recentChanges } = stream.newest();
    assert.deepEqual([fleet?.deviceGroups, recentChanges?.changes], [1n, []]);
    const mayCreate = () => stream.came.flatMap(({ message }) => (message.mayCreate === undefined ? [] : [message.mayCreate.deviceGroups]));
    assert.deepEqual(mayCreate(), [false], "what stays the same is not sent");
    stream.allow(user({ deviceGroups: { "*": "rw" } }));
    await stream.until(() => mayCreate().length > 1);
    assert.deepEqual(mayCreate(), [false, true]);
    stream.end();

    const named = rig.watch({ deviceGroups: ["tills"] }, may);
    await named.until(() => named.came.length > 0);
    assert.throws(
      () => named.allow(STRANGER),
      (error) => isNebulaError(error, "permission_denied"),
    );
    named.end();
    const missing = rig.watch({ deviceGroups: ["nope"] });
    let refused: unknown;
    missing.ended.catch((error: unknown) => {
      refused = error;
    });
    await missing.until(() => refused !== undefined);
    assert.ok(isNebulaError(refused, "not_found"));
  });

  it("a lost announcement of a change is made up for within 15 s", async () => {
    await using rig = await startFleet();
    const stream = rig.watch();
    await stream.until(() => stream.came.some(({ message }) => message.complete));
    const { publish } = rig.deps.changeFeed;
    rig.deps.changeFeed.publish = () => {};
    await rig.updateWeb();
    rig.deps.changeFeed.publish = publish;
    const begun = rig.clock.monotonic();
    await stream.until(() => stream.newest().fleet?.states?.waiting === 3n && stream.newest().fleet?.states?.working === 1n);
    assert.ok(rig.clock.monotonic() - begun <= 17_000, "it took longer than 15 s");
    stream.end();
  });

  it("groups beyond the room of the overview are counted again every minute, and follow no view meanwhile", async () => {
    await using rig = await startFleetRig({ liveBytes: 1 });
    await rig.put("till-1", "tills", { apps: [app("web"), app("pos")] });
    await rig.online("till-1", "tills");
    const stream = rig.watch();
    await stream.until(() => stream.came.some(({ message }) => message.complete));
    assert.equal(stream.newest().fleet?.states?.applied, 1n);
    const before = stream.came.length;
    await rig.put("till-1", "tills", { state: TargetState.WORKING, apps: [app("web"), app("pos", { state: TargetState.WORKING })] });
    await rig.clock.advance(10_000);
    assert.equal(stream.came.length, before);
    await stream.until(() => stream.newest().fleet?.states?.working === 1n);
    assert.ok(rig.clock.monotonic() >= 60_000);
    stream.end();
  });

  it("a group for whose devices the shard has no room is said to be uncounted, and the others are counted", async () => {
    await using rig = await startFleetRig({ mostBytes: 20_000 });
    for (let number = 0; number < 30; number++) await rig.put(`shop-${number}`, "shops", { apps: [app("web")] });
    await rig.put("till-1", "tills", { apps: [app("web"), app("pos")] });
    await rig.online("till-1", "tills");
    const { fleet, groups } = await rig.get();
    assert.deepEqual(
      groups.map(({ deviceGroup, uncounted, states }) => [deviceGroup, uncounted, states?.applied]),
      [
        ["shops", true, 0n],
        ["tills", false, 1n],
      ],
    );
    assert.deepEqual([fleet?.uncountedGroups, fleet?.states?.applied], [1n, 1n]);
  });

  it("the views of a fleet are given back a minute after its last reader", async () => {
    await using rig = await startFleet();
    await rig.get();
    assert.equal(rig.groupViews.mirrors, 2);
    for (let second = 0; second < 300 && rig.groupViews.mirrors > 0; second++) await rig.clock.advance(1000);
    assert.equal(rig.groupViews.mirrors, 0);
    assert.ok(rig.clock.monotonic() >= 120_000, "and a mirror is kept for a minute after that");
  });
});
