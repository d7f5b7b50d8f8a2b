import { strict as assert } from "node:assert";
import { create } from "@bufbuild/protobuf";
import { isNebulaError } from "../../../common/errors/nebula-error.ts";
import { eventually } from "../../../common/testing/eventually.ts";
import { ApplyVerb, ApplyVerdict, DeviceStanding, WatchApplyRequestSchema } from "../../../gen/nebula/v1/apply_pb.ts";
import { TargetKind } from "../../../gen/nebula/v1/device_pb.ts";
import { ADMIN, applied, device, failing, follow, startWorld, states, WEB, working } from "../../testing/apply-world.ts";
import { startSmallViews } from "../../testing/small-views.ts";
import { watchApply } from "./watch-apply.ts";

describe("the verdict of WatchApply", () => {
  it("WatchApply counts at once, follows each change, and says applied 10 s after the last one", async () => {
    const world = startWorld();
    world.write("pos", "a", device("a"));
    world.write("pos", "b", device("b"));
    world.write("pos", "off", device("off", { online: false }));
    const followed = follow(world);
    await world.clock.advance(0);
    assert.deepEqual(states(followed.last), { waiting: 2, offline: 1 });
    world.write("pos", "a", working("a"));
    await world.clock.advance(250);
    assert.deepEqual(states(followed.last), { waiting: 1, working: 1, offline: 1 });
    assert.deepEqual(
      followed.last.changed?.map(({ deviceId, standing }) => [deviceId, standing]),
      [["a", DeviceStanding.WORKING]],
    );
    world.write("pos", "a", applied("a"));
    world.write("pos", "b", applied("b"));
    await world.clock.advance(9999);
    assert.equal(followed.verdict, undefined);
    await world.clock.advance(1);
    await followed.ended;
    assert.equal(followed.verdict, ApplyVerdict.APPLIED);
    assert.deepEqual(states(followed.last), { applied: 2, offline: 1 });
    assert.deepEqual([followed.last.counts?.devices, followed.last.counts?.online, followed.last.counts?.onlineApplied], [3n, 2n, 2n]);
    assert.deepEqual([world.openViews, world.listeners], [0, 0]);
  });

  it("a container that dies 3 s after its start has failed when the verdict comes, and one that recovers has not", async () => {
    for (const recovers of [false, true]) {
      const world = startWorld();
      world.write("pos", "a", working("a"));
      const followed = follow(world);
      await world.clock.advance(1000);
      world.write("pos", "a", applied("a"));
      await world.clock.advance(3000);
      world.write("pos", "a", failing("a"));
      await world.clock.advance(9000);
      assert.equal(followed.verdict, undefined);
      if (recovers) world.write("pos", "a", applied("a"));
      await world.clock.advance(10_000);
      assert.equal(followed.verdict, recovers ? ApplyVerdict.APPLIED : ApplyVerdict.FAILED);
    }
  });

  it("a device that goes offline in the middle is waited for no more, and without one online device nothing has succeeded", async () => {
    const world = startWorld();
    world.write("pos", "a", applied("a"));
    world.write("pos", "b", working("b"));
    const followed = follow(world);
    await world.clock.advance(60_000);
    assert.equal(followed.verdict, undefined);
    world.write("pos", "b", working("b", false));
    await world.clock.advance(10_000);
    assert.equal(followed.verdict, ApplyVerdict.APPLIED);
    world.write("pos", "a", applied("a", false));
    const second = follow(world, { settleMs: 0 });
    await world.clock.advance(0);
    assert.equal(second.verdict, ApplyVerdict.NONE_ONLINE);
    assert.deepEqual(states(second.last), { applied: 1, offline: 1 });
  });

  it("the delete of a device_group has succeeded without an online device: it asks nothing of devices", async () => {
    for (const devices of [[], [device("off", { online: false })]]) {
      const world = startWorld();
      world.setEntity({ kind: "device_group", name: "pos" }, 8n, { deleted: true });
      for (const one of devices) world.write("pos", one.deviceId, one);
      const POS = { kind: TargetKind.DEVICE_GROUP, name: "pos", revision: 8n };
      const deleted = follow(world, { targets: [{ ...POS, verb: ApplyVerb.DELETE }], settleMs: 0 });
      const both = follow(world, { targets: [{ ...POS, verb: ApplyVerb.DELETE }, WEB], settleMs: 0 });
      await world.clock.advance(0);
      assert.deepEqual([deleted.verdict, both.verdict], [ApplyVerdict.APPLIED, ApplyVerdict.NONE_ONLINE]);
      assert.deepEqual(states(deleted.last), devices.length === 0 ? {} : { applied: 1 });
    }
  });

  it("the timeout ends it as unfinished while a device works, though others failed; a timeout of 0 at once, with one message", async () => {
    const world = startWorld();
    world.write("pos", "a", working("a"));
    world.write("pos", "b", failing("b"));
    const followed = follow(world, { timeoutMs: 30_000 });
    await world.clock.advance(29_999);
    assert.equal(followed.verdict, undefined);
    await world.clock.advance(1);
    assert.equal(followed.verdict, ApplyVerdict.UNFINISHED);
    const now = follow(world, { timeoutMs: 0 });
    await now.ended;
    assert.deepEqual([now.messages.length, now.verdict], [1, ApplyVerdict.UNFINISHED]);
  });

  it("a verdict waits if the re-read before it finds a change that the feed had lost", async () => {
    const world = startWorld();
    world.write("pos", "a", applied("a"));
    const followed = follow(world);
    await world.clock.advance(1000);
    world.write("pos", "a", failing("a"), true);
    await world.clock.advance(9000);
    assert.equal(followed.verdict, undefined);
    assert.deepEqual(states(followed.last), { failed: 1 });
    await world.clock.advance(10_000);
    assert.equal(followed.verdict, ApplyVerdict.FAILED);
  });

  it("a store that does not answer before the verdict ends the stream with unavailable, and the same request is served again", async () => {
    const world = startWorld();
    world.write("pos", "a", applied("a"));
    const followed = follow(world);
    await world.clock.advance(5000);
    world.setAway(true);
    await world.clock.advance(5000);
    await assert.rejects(followed.ended, (error) => isNebulaError(error, "unavailable"));
    assert.deepEqual([world.openViews, world.listeners], [0, 0]);
    world.setAway(false);
    const again = follow(world);
    await world.clock.advance(10_000);
    assert.equal(again.verdict, ApplyVerdict.APPLIED);
  });

  it("WatchApply ends with resource_exhausted when its device_groups grow beyond the room for devices, and gives its room back", async () => {
    const world = startWorld();
    await using small = await startSmallViews(world.clock);
    await small.report("pos-1", "pos");
    const parts = { ...world.parts, groupViews: small.groupViews };
    const context = { principal: ADMIN, signal: new AbortController().signal, keepAllowed() {} };
    const stream = watchApply(parts, create(WatchApplyRequestSchema, { targets: [WEB] }), context);
    assert.equal((await stream.next()).value?.counts?.devices, 1n);
    assert.ok(small.groupViews.bytes > 0);
    const ending = (async () => {
      for await (const { verdict } of stream) assert.equal(verdict, undefined);
    })();
    const ended = assert.rejects(ending, (error) => isNebulaError(error, "resource_exhausted") && (error.retryAfterMs ?? 0) > 0);
    for (let index = 2; index < 30; index++) await small.report(`pos-${index}`, "pos");
    await eventually(() => small.groupViews.mirrors === 0);
    await world.clock.advance(1000);
    await ended;
    assert.deepEqual([small.groupViews.bytes, world.listeners], [0, 0]);
  });
});
