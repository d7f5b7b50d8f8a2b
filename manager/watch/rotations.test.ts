import { strict as assert } from "node:assert";
import { setImmediate as turn } from "node:timers/promises";
import { createMemoryLoginCounts } from "../../common/access/login-counts.ts";
import { newToken, tokenHash } from "../../common/access/tokens.ts";
import { ManualClock } from "../../common/clock/manual-clock.ts";
import { createMemoryFeed } from "../../common/feed/memory-feed.ts";
import { silentLog } from "../../common/log/log.ts";
import type { AccessStore } from "../../common/storage/access-store.ts";
import { openSqliteAccessStore } from "../../common/storage/sqlite/access/access-store.ts";
import { createAccess } from "../access/access.ts";
import { putTestDevices } from "../testing/test-access.ts";
import { type AuthorisedStream, Reauthorisation } from "./reauthorisation.ts";

const DAY_MS = 86_400_000;
const DEVICES = 2000;
const CACHE_TIME_MS = 10_000;

/**
 * A manager's access over a store whose reads of tokens are counted, with watches that reconnect when they are refused.
 */
async function start() {
  await using stack = new AsyncDisposableStack();
  const store = stack.use(await openSqliteAccessStore({ path: ":memory:" }));
  const feed = stack.use(createMemoryFeed({ log: silentLog }));
  const reads = new Map<string, number>();
  const counted: AccessStore = {
    ...store,
    async tokenOwner(hash) {
      reads.set(hash, (reads.get(hash) ?? 0) + 1);
      return store.tokenOwner(hash);
    },
    async deviceByTokenHash(hash) {
      reads.set(hash, (reads.get(hash) ?? 0) + 1);
      return store.deviceByTokenHash(hash);
    },
  };
  const clock = new ManualClock();
  const life = new AbortController();
  const access = createAccess({
    enabled: true,
    clusterKey: "key",
    admin: { user: "admin", password: "secret", token: undefined },
    drivers: { accessStore: counted, changeFeed: feed, loginCounts: createMemoryLoginCounts() },
    clock,
    log: silentLog,
    everyMs: CACHE_TIME_MS,
    signal: life.signal,
  });
  const refused: AuthorisedStream[] = [];
  const options = { access, clock, log: silentLog, usersWithinMs: CACHE_TIME_MS, signal: life.signal };
  const reauthorisation: Reauthorisation<AuthorisedStream> = new Reauthorisation(options, (stream) => {
    refused.push(stream);
    reauthorisation.closed(stream);
  });
  stack.defer(async () => {
    life.abort();
    await Promise.all([access.generations.done, reauthorisation.done]);
  });
  const pass = async (ms: number) => {
    await clock.advance(ms);
    for (let turns = 0; turns < 6; turns++) await turn();
  };
  await pass(CACHE_TIME_MS);
  const opened = stack.move();
  return {
    store,
    access,
    reads,
    refused,
    pass,
    async watch(deviceId: string, token: string): Promise<void> {
      const authorization = `Bearer ${token}`;
      const { login } = await access.authenticate({ header: (name) => (name === "authorization" ? authorization : undefined) }, "192.0.2.1:1");
      reauthorisation.opened({ watcher: { login, deviceId }, group: { name: "shops" } });
    },
    [Symbol.asyncDispose]: () => opened.disposeAsync(),
  };
}

describe("a day of rotations", () => {
  it("a day of rotations costs each of 2,000 devices two reads of its credentials at most, renews no stamp, and ends the watch of the old token", async () => {
    await using rig = await start();
    const devices = await putTestDevices(rig.store, DEVICES, "shops");
    for (const { deviceId, token } of devices) await rig.watch(deviceId, token);
    const stamp = await rig.store.stamp();
    let total = 0;
    for (const { deviceId, token } of devices) {
      const next = newToken();
      const hashes = [tokenHash(token), tokenHash(next)];
      const readsNow = () => hashes.reduce((sum, hash) => sum + (rig.reads.get(hash) ?? 0), 0);
      const before = readsNow();
      assert.equal(await rig.store.announceNext(tokenHash(token), tokenHash(next)), "done");
      const ended = rig.refused.length;
      await rig.watch(deviceId, next);
      await rig.pass(100);
      await rig.pass(100);
      assert.ok(rig.refused.length > ended, "the watch that came with the old token ends");
      assert.equal(rig.refused.at(-1)?.watcher.deviceId, deviceId);
      const cost = readsNow() - before;
      assert.ok(cost >= 1 && cost <= 2, `${cost} reads for the rotation of ${deviceId}`);
      total += cost;
      await rig.pass(DAY_MS / DEVICES - 200);
    }
    assert.equal(rig.refused.length, DEVICES);
    assert.ok(total <= 2 * DEVICES, `${total} reads`);
    assert.deepEqual([await rig.store.stamp(), rig.access.generations.current], [stamp, 1]);
    const all = [...rig.reads.values()].reduce((sum, count) => sum + count, 0);
    assert.ok(all <= DEVICES + total + 27 * DEVICES, `${all} reads in all: one at the start, the rotations, one every 54 minutes`);
  }).timeout(120_000);
});
