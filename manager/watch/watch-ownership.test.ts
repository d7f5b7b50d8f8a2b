import { strict as assert } from "node:assert";
import { PART_TOKEN_HEADER, partToken } from "../../common/access/part-token.ts";
import type { Clock } from "../../common/clock/clock.ts";
import { ManualClock } from "../../common/clock/manual-clock.ts";
import type { Member } from "../../common/membership/membership.ts";
import { ownersOf, ownShard } from "../../common/membership/rendezvous.ts";
import type { ConfigStore } from "../../common/storage/config-store.ts";
import { eventually } from "../../common/testing/eventually.ts";
import { plainStore } from "../testing/plain-store.ts";
import { TestMembership } from "../testing/test-membership.ts";
import { RIG_CLUSTER_KEY, startWatchRig, TestWatch } from "../testing/watch-rig.ts";

const SELF: Member = { name: "self", address: "self:1", boot: "self" };
const OTHER: Member = { name: "other", address: "other:2", boot: "other" };

/** A group that this member owns when both are there. */
function groupOf(owner: Member): string {
  for (let index = 0; ; index++) {
    const name = `g${index}`;
    if (ownersOf(name, [SELF, OTHER], 1)[0] === owner) return name;
  }
}

/** A device of a group spread over both, whose own shard is this member. */
function deviceOf(owner: Member, group: string): string {
  for (let index = 0; ; index++) {
    const name = `d${index}`;
    if (ownShard(group, name, ownersOf(group, [SELF, OTHER], 2)) === owner) return name;
  }
}

describe("whose watch it is", () => {
  it("a shard serves its own groups, and redirects watches of the others", async () => {
    await using rig = await startWatchRig({ membership: new TestMembership(SELF, [OTHER]) });
    const [mine, theirs] = [groupOf(SELF), groupOf(OTHER)];
    for (const group of [mine, theirs]) await rig.putGroup(group, []);
    const [own, foreign, again] = [mine, theirs, theirs].map((deviceGroup, index) => rig.watch({ deviceGroup, deviceId: `d${index}` }));
    await eventually(() => own?.answers.length === 1);
    assert.equal(own?.last, "");
    for (const watch of [foreign, again]) {
      assert.equal(await watch?.ended, undefined);
      const [answer] = watch?.answers ?? [];
      assert.ok(answer?.case === "redirect" && answer.value.address === OTHER.address);
    }
  });

  it("a shard serves every watch while it has not joined, and redirects devices once it has", async () => {
    const membership = new TestMembership(undefined, [OTHER]);
    await using rig = await startWatchRig({ membership });
    const group = groupOf(OTHER);
    await rig.putGroup(group, []);
    const watch = rig.watch({ deviceGroup: group, deviceId: "d" });
    await eventually(() => watch.last === "");
    await membership.join(SELF);
    await eventually(() => watch.last === "redirect");
  });

  it("a shard splits the devices of a spread group", async () => {
    await using rig = await startWatchRig({ membership: new TestMembership(SELF, [OTHER]) });
    const group = groupOf(OTHER);
    await rig.putGroup(group, [], 2);
    const here = rig.watch({ deviceGroup: group, deviceId: deviceOf(SELF, group) });
    const there = rig.watch({ deviceGroup: group, deviceId: deviceOf(OTHER, group) });
    await eventually(() => here.last === "" && there.last === "redirect");
    await rig.putGroup(group, [], 1);
    await eventually(() => here.last === "redirect");
  });

  it("a shard serves any watch with redirects off, with serve_here, and under the part token; the last two until the membership changes", async () => {
    const membership = new TestMembership(SELF, [OTHER]);
    await using rig = await startWatchRig({ membership });
    await using lax = await startWatchRig({ membership, redirect: false });
    const group = groupOf(OTHER);
    for (const each of [rig, lax]) await each.putGroup(group, []);
    const device = { deviceGroup: group, deviceId: "d" };
    const asked = rig.watch({ ...device, serveHere: true });
    const part = new TestWatch(rig.channel(), { deviceGroup: group }, { [PART_TOKEN_HEADER]: partToken(RIG_CLUSTER_KEY) });
    const any = lax.watch(device);
    await eventually(() => [asked, part, any].every(({ last }) => last === ""));

    membership.set([OTHER, { name: "third", address: "third:3", boot: "third" }]);
    const ends = await Promise.all([asked.ended, part.ended]);
    assert.deepEqual(ends, [undefined, undefined]);
    for (const { answers } of [asked, part]) {
      const last = answers.at(-1);
      assert.ok(last?.case === "redirect" && last.value.address === "", "the device asks for the shard map");
    }
    assert.equal(any.last, "");
  });

  it("a shard redirects devices that it lost at no more than 500 a second", async () => {
    const clock = new ManualClock();
    const membership = new TestMembership(SELF);
    await using rig = await startWatchRig({ membership, clock });
    const group = groupOf(OTHER);
    await rig.putGroup(group, []);
    const channel = rig.channel();
    for (let index = 0; index < 300; index++) rig.watch({ deviceGroup: group, deviceId: `d${index}` }, channel);
    await eventually(() => rig.hub.streams === 300);
    membership.set([OTHER]);
    let passed = 0;
    for (; rig.hub.streams > 0; passed += 100) {
      assert.ok(passed < 1000, "300 devices take 0.6 s");
      await clock.advance(100);
      const ended = 300 - rig.hub.streams;
      assert.ok(ended <= ((passed + 100) / 1000) * 500, `${ended} after ${passed + 100} ms`);
    }
    assert.ok(passed >= 600, `after ${passed} ms`);
  });

  it("a shard keeps the groups that a membership change left it", async () => {
    const membership = new TestMembership(SELF, [OTHER]);
    await using rig = await startWatchRig({ membership });
    const group = groupOf(SELF);
    await rig.putGroup(group, []);
    const watch = rig.watch({ deviceGroup: group, deviceId: "d" });
    await eventually(() => watch.last === "");
    membership.set([]);
    membership.set([OTHER]);
    await rig.putApp("web", "v1");
    await rig.putGroup(group, ["web"]);
    await eventually(() => watch.last === "v1@1");
  });
});

describe("an impaired shard", () => {
  it("an impaired shard gives its watches to one that is well, and keeps them where none is", async () => {
    const membership = new TestMembership(SELF, [{ ...OTHER, impaired: true }]);
    await using rig = await startWatchRig({ membership });
    const group = groupOf(SELF);
    await rig.putGroup(group, []);
    const watch = rig.watch({ deviceGroup: group, deviceId: "d" });
    await eventually(() => watch.last === "");
    const theirs = groupOf(OTHER);
    await rig.putGroup(theirs, []);
    const moved = rig.watch({ deviceGroup: theirs, deviceId: "e" });
    await eventually(() => moved.last === ""); // the other one is impaired: this shard owns its groups

    membership.setImpaired(true); // now neither is well: each owns what it did when both were
    await eventually(() => moved.last === "redirect");
    assert.equal(watch.last, "");
  });

  it("an impaired shard redirects a watch at once whose group it cannot load", async () => {
    const membership = new TestMembership({ ...SELF, impaired: true }, [OTHER]);
    await using rig = await startWatchRig({ membership, wrapStore: silentStore });
    const watches = ["d", "e"].map((deviceId) => rig.watch({ deviceGroup: groupOf(SELF), deviceId }));
    for (const { ended, answers } of watches) {
      assert.equal(await ended, undefined);
      const [answer] = answers;
      assert.ok(answer?.case === "redirect" && answer.value.address === OTHER.address);
    }
  });
});

describe("a shard that drains", () => {
  it("a draining shard redirects a watch at once whose group it cannot load", async () => {
    const membership = new TestMembership(SELF, [OTHER]);
    await using rig = await startWatchRig({ membership, wrapStore: silentStore });
    await membership.leave();
    await rig.hub.drain(1000, new AbortController().signal);
    const watch = rig.watch({ deviceGroup: groupOf(SELF), deviceId: "d" });
    assert.equal(await watch.ended, undefined);
    const [answer] = watch.answers;
    assert.ok(answer?.case === "redirect" && answer.value.address === OTHER.address);
  });
});

/** A store behind a black hole. */
function silentStore(store: ConfigStore): ConfigStore {
  return { ...plainStore(store), get: () => new Promise(() => {}), getMany: () => new Promise(() => {}) };
}

/** A clock that can stand still as that of a paused process does: nothing wakes while time passes. */
class PausingClock extends ManualClock implements Clock {
  #paused = 0;

  override monotonic(): number {
    return super.monotonic() + this.#paused;
  }

  pause(ms: number): void {
    this.#paused += ms;
  }
}

describe("a standstill of the process", () => {
  it("H2: a standstill of the process sends nothing before the group was loaded again", async () => {
    const clock = new PausingClock();
    let reads = 0;
    await using rig = await startWatchRig({
      clock,
      wrapStore: (store) => ({
        ...plainStore(store),
        get(key) {
          reads++;
          return store.get(key);
        },
      }),
    });
    await rig.putApp("web", "v1");
    await rig.putGroup("g", ["web"]);
    const first = rig.watch({ deviceId: "a" });
    await eventually(() => first.last === "v1@1");
    const second = rig.watch({ deviceId: "b" });
    await eventually(() => second.last === "v1@1");
    assert.equal(reads, 1, "a second watch of the group needs no read");

    rig.feedLoses = true;
    clock.pause(11_000);
    await rig.putApp("web", "v2");
    const late = rig.watch({ deviceId: "c" });
    await eventually(() => late.last === "v2@2");
    assert.deepEqual(late.heard, ["v2@2"], "never the config from before");
    await eventually(() => first.last === "v2@2" && second.last === "v2@2");
  });
});
