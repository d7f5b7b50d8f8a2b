import { strict as assert } from "node:assert";
import { isNebulaError } from "../../../common/errors/nebula-error.ts";
import { ApplyVerdict, DeviceStanding } from "../../../gen/nebula/v1/apply_pb.ts";
import type { Principal } from "../../access/principal.ts";
import { NO_RIGHTS, rightsOf } from "../../access/rights/rights.ts";
import { applied, device, failing, follow, startWorld, states, working } from "../../testing/apply-world.ts";
import type { DeviceInGroup } from "../views/group-view.ts";

describe("the devices and device_groups that WatchApply reaches", () => {
  it("devices that come, are deleted or change groups are counted as they are", async () => {
    const world = startWorld();
    world.setGroups("web", ["pos", "shop"]);
    world.write("pos", "a", applied("a"));
    world.write("pos", "b", working("b"));
    const followed = follow(world);
    await world.clock.advance(500);
    world.write("pos", "new", device("new"));
    await world.clock.advance(250);
    assert.deepEqual(states(followed.last), { applied: 1, working: 1, waiting: 1 });
    world.write("pos", "b", undefined);
    world.write("pos", "new", undefined);
    world.write("shop", "new", applied("new"));
    await world.clock.advance(10_250);
    assert.deepEqual([followed.verdict, states(followed.last)], [ApplyVerdict.APPLIED, { applied: 2 }]);
    const left = followed.messages.flatMap(({ message }) => message.changed ?? []).filter(({ standing }) => standing === DeviceStanding.UNSPECIFIED);
    assert.deepEqual(
      left.map(({ deviceId, deviceGroup }) => [deviceId, deviceGroup]),
      [
        ["b", "pos"],
        ["new", "pos"],
      ],
    );
  });

  it("a device that moves to another group is counted once, where it is connected, until it reports from there", async () => {
    const world = startWorld();
    world.setGroups("web", ["pos", "shop"]);
    const silent: DeviceInGroup = { ...device("a"), summary: undefined };
    for (const first of ["pos", "shop"]) {
      const second = first === "pos" ? "shop" : "pos";
      world.write(first, "a", device("a", { online: false }));
      const followed = follow(world);
      await world.clock.advance(1000);
      assert.deepEqual(states(followed.last), { offline: 1 });
      world.write(second, "a", silent);
      await world.clock.advance(1000);
      assert.deepEqual([states(followed.last), followed.last.counts?.devices, followed.last.counts?.online], [{ waiting: 1 }, 1n, 1n]);
      const later = follow(world); // it finds both from the start
      await world.clock.advance(1000);
      assert.deepEqual([states(later.last), later.last.counts?.devices], [{ waiting: 1 }, 1n]);
      world.write(second, "a", applied("a"));
      world.write(first, "a", undefined);
      await world.clock.advance(1000);
      for (const { last } of [followed, later]) assert.deepEqual([states(last), last.counts?.devices], [{ applied: 1 }, 1n]);
      await world.clock.advance(20_000);
      assert.equal(followed.verdict, ApplyVerdict.APPLIED);
      assert.equal(later.verdict, ApplyVerdict.APPLIED);
      world.write(second, "a", undefined);
    }
  });

  it("a device whose report from another group is announced before its connection there is counted once", async () => {
    const world = startWorld();
    world.setGroups("web", ["pos", "shop"]);
    const silent: DeviceInGroup = { ...device("a"), summary: undefined };
    world.write("pos", "a", device("a"));
    const followed = follow(world, { timeoutMs: 3_600_000 });
    await world.clock.advance(1000);
    let later: typeof followed | undefined;
    for (const [group, row] of [
      ["shop", applied("a", false)],
      ["pos", silent],
      ["shop", applied("a")],
      ["pos", undefined],
    ] as const) {
      world.write(group, "a", row);
      await world.clock.advance(1000);
      assert.deepEqual([followed.last.counts?.devices, followed.last.counts?.online], [1n, 1n]);
      if (later !== undefined) assert.deepEqual([later.last.counts?.devices, later.last.counts?.online], [1n, 1n]);
      later ??= follow(world, { timeoutMs: 3_600_000 }); // it finds a report in both groups
    }
    for (const { last } of [followed, later ?? assert.fail()]) assert.deepEqual(states(last), { applied: 1 });
    for (const { leave, ended } of [followed, later ?? assert.fail()]) {
      leave();
      await assert.rejects(ended);
    }
  });

  it("groups that gain or lose the app meanwhile are counted from then on, also if the announcement was lost", async () => {
    const world = startWorld();
    world.write("pos", "a", applied("a"));
    world.write("shop", "b", working("b"));
    const followed = follow(world, { timeoutMs: 3_600_000 });
    await world.clock.advance(0);
    world.setGroups("web", ["pos", "shop"]);
    await world.clock.advance(1000);
    assert.deepEqual([states(followed.last), followed.last.groups], [{ applied: 1, working: 1 }, 2n]);
    world.parts.configStore.groupsNaming = async () => ["shop"]; // without an announcement
    await world.clock.advance(20_000);
    assert.deepEqual([states(followed.last), followed.last.groups, world.openViews], [{ working: 1 }, 1n, 1]);
    followed.leave();
    await assert.rejects(followed.ended);
  });

  it("changes of device_groups have the reach read at most once a second, and the last of them is counted a second later at the latest", async () => {
    const world = startWorld();
    world.write("pos", "a", working("a"));
    world.write("shop", "b", working("b"));
    const followed = follow(world, { timeoutMs: 3_600_000 });
    await world.clock.advance(5000);
    const before = world.counts.reachReads;
    for (let step = 0; step < 200; step++) {
      world.setGroups("web", step === 199 ? ["pos", "shop"] : ["pos"]);
      await world.clock.advance(50);
    }
    const reads = world.counts.reachReads - before;
    assert.ok(reads >= 9 && reads <= 11, `${reads} reads for 200 changes in 10 s`);
    await world.clock.advance(950);
    assert.deepEqual([followed.last.groups, states(followed.last)], [2n, { working: 2 }]);
    followed.leave();
    await assert.rejects(followed.ended);
  });

  it("groups that the caller may not read are a number alone, also when the right ends while the stream is open", async () => {
    const world = startWorld();
    world.setGroups("web", ["pos", "shop"]);
    world.write("pos", "a", applied("a"));
    world.write("shop", "b", failing("b"));
    const reader = (groups: string[]): Principal => ({
      kind: "user",
      name: "ann",
      rights: rightsOf([
        {
          admin: false,
          pruningAllowed: false,
          apps: { web: "ro" },
          cronJobs: {},
          deviceGroups: Object.fromEntries(groups.map((group) => [group, "ro"])),
        },
      ]),
    });
    const followed = follow(world, {}, reader(["pos", "shop"]));
    await world.clock.advance(0);
    assert.deepEqual([states(followed.last), followed.last.unseenGroups], [{ applied: 1, failed: 1 }, 0n]);
    followed.setRights(reader(["pos"]));
    world.write("shop", "c", failing("c"));
    await world.clock.advance(250);
    assert.deepEqual([states(followed.last), followed.last.unseenGroups, followed.last.failures], [{ applied: 1 }, 1n, []]);
    assert.throws(
      () => followed.setRights({ kind: "user", name: "ann", rights: NO_RIGHTS }),
      (error) => isNebulaError(error, "permission_denied"),
    );
    followed.leave();
    await assert.rejects(followed.ended);
  });
});
