import { strict as assert } from "node:assert";
import { setImmediate as turn } from "node:timers/promises";
import { ManualClock } from "../../common/clock/manual-clock.ts";
import { createMemoryFeed } from "../../common/feed/memory-feed.ts";
import { silentLog } from "../../common/log/log.ts";
import { AccessRounds } from "../access/access-rounds.ts";
import type { Login, Verified } from "../access/login.ts";
import { VerifiedCredentials } from "../access/verified-credentials.ts";
import { Reauthorisation } from "./reauthorisation.ts";

const WITHIN_MS = 10_000;
const STEP_MS = 100;

function deviceLogin(index: number): Login {
  const principal = { kind: "device", deviceId: `d${index}`, deviceGroup: "g", tokenHash: `${index}` } as const;
  return { id: `${index}`, verified: { principal, source: { kind: "token" }, userGroups: [] }, round: 0, ended: false };
}

/** Watches of as many devices, looked at anew whenever the stamp changes, on a clock that the test moves. */
function start(devices: number) {
  const clock = new ManualClock();
  const life = new AbortController();
  const stamp = { value: 1 };
  const feed = createMemoryFeed({ log: silentLog });
  const rounds = new AccessRounds({
    accessStore: { stamp: async () => String(stamp.value) },
    changeFeed: feed,
    clock,
    log: silentLog,
    everyMs: 500,
    signal: life.signal,
  });
  const lookups: { at: number; deviceId: string }[] = [];
  const stored = {
    async again(verified: Verified) {
      if (verified.principal.kind === "device") lookups.push({ at: clock.monotonic(), deviceId: verified.principal.deviceId });
      return verified;
    },
  };
  const streams = Array.from({ length: devices }, (_, index) => ({
    watcher: { login: deviceLogin(index), deviceId: `d${index}` },
    group: { name: "g" },
  }));
  const access = { rounds, stored, verified: new VerifiedCredentials(devices) };
  const reauthorisation = new Reauthorisation(
    { access, clock, log: silentLog, withinMs: WITHIN_MS, signal: life.signal },
    { streams: () => streams, refuse: () => assert.fail("nothing was revoked") },
  );
  return {
    clock,
    stamp,
    feed,
    lookups,
    async pass(ms: number) {
      for (let passed = 0; passed < ms; passed += STEP_MS) {
        await clock.advance(STEP_MS);
        for (let turns = 0; turns < 4; turns++) await turn();
      }
    },
    async [Symbol.asyncDispose]() {
      life.abort();
      await Promise.all([rounds.done, reauthorisation.done]);
      await feed[Symbol.asyncDispose]();
    },
  };
}

describe("the pace at which open watches are authorised again", () => {
  it("E1: has all done within the time, none twice, and spread over it", async () => {
    await using rig = start(1000);
    await rig.pass(WITHIN_MS);
    assert.equal(new Set(rig.lookups.map(({ deviceId }) => deviceId)).size, 1000);
    assert.equal(rig.lookups.length, 1000);
    const perStep = Map.groupBy(rig.lookups, ({ at }) => at);
    const most = Math.max(...[...perStep.values()].map(({ length }) => length));
    assert.ok(most <= 20, `${most} at once`);
    await rig.pass(WITHIN_MS);
    assert.equal(rig.lookups.length, 1000, "nothing has changed: nothing is looked up");
  });

  it("E1: leaves nobody out, however often rights change, and never does more than each once in the time", async () => {
    await using rig = start(300);
    await rig.pass(WITHIN_MS);
    for (let passed = 0; passed < 4 * WITHIN_MS; passed += 500) {
      rig.stamp.value++;
      await rig.pass(500);
    }
    const from = rig.lookups.filter(({ at }) => at > WITHIN_MS);
    const byDevice = Map.groupBy(from, ({ deviceId }) => deviceId);
    assert.equal(byDevice.size, 300);
    for (const [deviceId, each] of byDevice) {
      const times = [WITHIN_MS, ...each.map(({ at }) => at), 5 * WITHIN_MS];
      const longest = Math.max(...times.slice(1).map((at, index) => at - (times[index] ?? 0)));
      assert.ok(longest <= WITHIN_MS + 1000, `${deviceId} waited ${longest} ms`);
      assert.ok(each.length <= 7, `${deviceId} was looked up ${each.length} times in ${4 * WITHIN_MS} ms`);
    }
  });

  it("E1: has who is named first, whoever is behind", async () => {
    await using rig = start(1000);
    await rig.pass(300);
    const before = rig.lookups.length;
    rig.stamp.value++;
    await rig.feed.publish({ kind: "access", subject: "device/d999" });
    await rig.pass(300);
    const place = rig.lookups.slice(before).findIndex(({ deviceId }) => deviceId === "d999");
    assert.ok(place >= 0 && place < 40, `${place}`);
  });
});
