import { strict as assert } from "node:assert";
import { setImmediate as turn } from "node:timers/promises";
import { ManualClock } from "../../common/clock/manual-clock.ts";
import { createMemoryFeed } from "../../common/feed/memory-feed.ts";
import { silentLog } from "../../common/log/log.ts";
import { AccessGenerations } from "../access/access-generations.ts";
import { NO_RIGHTS } from "../access/rights/rights.ts";
import { LONGEST_UNREAD_MS, type Login, LoginIndex, type Verified, VerifiedCredentials } from "../access/verified-credentials.ts";
import { DEVICES_WITHIN_MS, Reauthorisation } from "./reauthorisation.ts";

const USERS_WITHIN_MS = 10_000;
const STEP_MS = 100;

function deviceOf(index: number): Verified {
  const principal = { kind: "device", deviceId: `d${index}`, deviceGroup: "g", tokenHash: `${index}` } as const;
  return { principal, source: { kind: "token" }, userGroups: [] };
}

function userOf(index: number): Verified {
  const principal = { kind: "user", name: `u${index}`, rights: NO_RIGHTS } as const;
  return { principal, source: { kind: "user_token", tokenHash: `${index}` }, userGroups: [`half-${index % 2}`] };
}

/** Watches, one of each credential, on a clock that the test moves. */
async function start(credentials: readonly Verified[]) {
  const clock = new ManualClock();
  const life = new AbortController();
  const stamp = { value: 1 };
  const feed = createMemoryFeed({ log: silentLog });
  const stamps = { stamp: async () => String(stamp.value) };
  const generations = new AccessGenerations({ accessStore: stamps, changeFeed: feed, clock, log: silentLog, everyMs: 500, signal: life.signal });
  const lookups: { at: number; who: string }[] = [];
  const stored = {
    async again(verified: Verified) {
      const { principal } = verified;
      if (principal.kind === "device") lookups.push({ at: clock.monotonic(), who: principal.deviceId });
      else if (principal.kind === "user") lookups.push({ at: clock.monotonic(), who: principal.name });
      return verified;
    },
  };
  const index = new LoginIndex();
  const verified = new VerifiedCredentials({ limit: 100_000, index, generation: () => generations.current, sessionMs: USERS_WITHIN_MS, clock });
  generations.listen({
    named: (subject) => {
      for (const login of index.of(subject)) login.isSuspect = true;
    },
  });
  const refused: string[] = [];
  const access = { generations, stored, verified, index };
  const reauthorisation = new Reauthorisation({ access, clock, log: silentLog, usersWithinMs: USERS_WITHIN_MS, signal: life.signal }, (stream) =>
    refused.push(stream.watcher.login.id),
  );
  const pass = async (ms: number) => {
    for (let passed = 0; passed < ms; passed += STEP_MS) {
      await clock.advance(STEP_MS);
      for (let turns = 0; turns < 4; turns++) await turn();
    }
  };
  await pass(STEP_MS);
  const streams = credentials.map((each, number) => {
    const login: Login = {
      id: `${number}`,
      verified: each,
      generation: generations.current,
      readAt: clock.monotonic(),
      isSuspect: false,
      ended: false,
    };
    return { watcher: { login, deviceId: `d${number}` }, group: { name: "g" } };
  });
  for (const stream of streams) reauthorisation.opened(stream);
  return {
    clock,
    stamp,
    lookups,
    streams,
    index,
    reauthorisation,
    pass,
    name: (subject: string) => feed.publish({ kind: "access", subject }),
    async [Symbol.asyncDispose]() {
      life.abort();
      await Promise.all([generations.done, reauthorisation.done]);
      await feed[Symbol.asyncDispose]();
    },
  };
}

const devices = (count: number) => Array.from({ length: count }, (_, index) => deviceOf(index));
const users = (count: number) => Array.from({ length: count }, (_, index) => userOf(index));

describe("the pace at which open watches are authorised again", () => {
  it("E1: a named credential is read at once, and no other", async () => {
    await using rig = await start([...devices(1000), ...users(10)]);
    await rig.name("device/d999");
    await rig.pass(200);
    assert.deepEqual(
      rig.lookups.map(({ who }) => who),
      ["d999"],
    );
    await rig.name("user_group/half-1");
    await rig.pass(200);
    assert.deepEqual(
      rig.lookups
        .slice(1)
        .map(({ who }) => who)
        .sort(),
      ["u1", "u3", "u5", "u7", "u9"],
    );
    await rig.name("device/unknown");
    await rig.pass(USERS_WITHIN_MS);
    assert.equal(rig.lookups.length, 6, "the stamp is the same: nobody else is read");
  });

  it("E2: the devices of a new generation are read once within 5 minutes, spread over them, and users within cache_time", async () => {
    await using rig = await start([...devices(1000), ...users(100)]);
    rig.stamp.value++;
    await rig.pass(USERS_WITHIN_MS);
    const early = Map.groupBy(rig.lookups, ({ who }) => who.slice(0, 1));
    assert.equal(new Set(early.get("u")?.map(({ who }) => who)).size, 100);
    assert.ok((early.get("d")?.length ?? 0) < 100, "devices have more time");
    await rig.pass(DEVICES_WITHIN_MS);
    assert.equal(new Set(rig.lookups.map(({ who }) => who)).size, 1100);
    assert.equal(rig.lookups.length, 1100, "each once");
    const perStep = Map.groupBy(rig.lookups, ({ at }) => at);
    const most = Math.max(...[...perStep.values()].map(({ length }) => length));
    assert.ok(most <= 4, `${most} at once`);
  });

  it("E2: no credential is left out under any changes of rights, and none is read more than once in the time", async () => {
    await using rig = await start(users(300));
    for (let passed = 0; passed < 4 * USERS_WITHIN_MS; passed += 500) {
      rig.stamp.value++;
      await rig.pass(500);
    }
    const byUser = Map.groupBy(rig.lookups, ({ who }) => who);
    assert.equal(byUser.size, 300);
    for (const [who, each] of byUser) {
      const times = [0, ...each.map(({ at }) => at), 4 * USERS_WITHIN_MS];
      const longest = Math.max(...times.slice(1).map((at, index) => at - (times[index] ?? 0)));
      assert.ok(longest <= USERS_WITHIN_MS + 1000, `${who} waited ${longest} ms`);
      assert.ok(each.length <= 7, `${who} was read ${each.length} times in ${4 * USERS_WITHIN_MS} ms`);
    }
  });

  it("E3: each credential is read at least once an hour, and hardly more often, without any change", async () => {
    await using rig = await start(devices(50));
    for (let minutes = 0; minutes < 180; minutes++) {
      await rig.clock.advance(60_000);
      for (let turns = 0; turns < 20; turns++) await turn();
      await rig.pass(10 * STEP_MS);
    }
    const byDevice = Map.groupBy(rig.lookups, ({ who }) => who);
    assert.equal(byDevice.size, 50);
    for (const [who, each] of byDevice) {
      const times = [0, ...each.map(({ at }) => at)];
      const longest = Math.max(...times.slice(1).map((at, index) => at - (times[index] ?? 0)));
      assert.ok(longest <= LONGEST_UNREAD_MS, `${who} was unread for ${longest} ms`);
      assert.ok(each.length >= 2 && each.length <= 4, `${who} was read ${each.length} times in 3 hours`);
    }
  });

  it("a credential is forgotten with its last watch: it is read no more, and left in no index", async () => {
    await using rig = await start(devices(10));
    assert.equal(rig.index.size, 10);
    for (const stream of rig.streams) rig.reauthorisation.closed(stream);
    assert.equal(rig.index.size, 0);
    rig.stamp.value++;
    await rig.name("device/d1");
    await rig.pass(DEVICES_WITHIN_MS / 10);
    assert.deepEqual(rig.lookups, []);
  });
});
