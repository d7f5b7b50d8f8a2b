import { strict as assert } from "node:assert";
import { DeviceStanding } from "../../../gen/nebula/v1/apply_pb.ts";
import { FailureCode } from "../../../gen/nebula/v1/report_pb.ts";
import { applied, device, failing, follow, startWorld, working } from "../../testing/apply-world.ts";

describe("the messages of WatchApply", () => {
  it("messages come at most four a second while devices change, and every 10 s while none does", async () => {
    const world = startWorld();
    world.write("pos", "a", working("a"));
    const followed = follow(world, { timeoutMs: 600_000 });
    for (let step = 0; step < 100; step++) {
      world.write("pos", "a", step % 2 === 0 ? failing("a") : working("a"));
      await world.clock.advance(50);
    }
    const busy = followed.messages.length;
    assert.ok(busy >= 15 && busy <= 21, `${busy} messages in 5 s`);
    for (const [index, { at }] of followed.messages.entries()) assert.ok(index === 0 || at - (followed.messages[index - 1]?.at ?? 0) >= 250);
    await world.clock.advance(40_000);
    assert.ok(followed.messages.length - busy >= 4 && followed.messages.length - busy <= 5);
    followed.leave();
    await assert.rejects(followed.ended);
    assert.deepEqual([world.openViews, world.listeners], [0, 0]);
  });

  it("at most 100 changed devices are named in a message, the others are counted by state and code", async () => {
    const world = startWorld();
    for (let number = 0; number < 250; number++) world.write("pos", `d${number}`, device(`d${number}`));
    const followed = follow(world);
    await world.clock.advance(300);
    assert.equal(followed.messages.length, 1);
    for (let number = 0; number < 250; number++) world.write("pos", `d${number}`, number % 5 === 0 ? failing(`d${number}`) : applied(`d${number}`));
    await world.clock.advance(250);
    const { changed = [], moreChanged = [], failures } = followed.last;
    assert.equal(changed.length, 100);
    const more = moreChanged.map(({ standing, failureCode, devices }) => [standing, failureCode, Number(devices)]);
    assert.deepEqual(more.toSorted(), [
      [DeviceStanding.APPLIED, FailureCode.UNSPECIFIED, 120],
      [DeviceStanding.FAILED, FailureCode.EXITS, 30],
    ]);
    assert.deepEqual(
      failures?.map(({ failureCode, devices }) => [failureCode, devices]),
      [[FailureCode.EXITS, 50n]],
    );
  });

  it("the first message names the devices that failed, with the words of the first ones", async () => {
    const world = startWorld();
    for (let number = 0; number < 80; number++) world.write("pos", `d${number}`, failing(`d${number}`, FailureCode.NO_SPACE));
    world.write("pos", "fine", applied("fine"));
    const followed = follow(world);
    await world.clock.advance(0);
    assert.equal(followed.last.changed?.length, 80);
    assert.deepEqual([followed.last.changed?.[0]?.reason, followed.last.changed?.[79]?.reason], ["why d0", undefined]);
    assert.equal(world.counts.reasons, 50);
  });
});
