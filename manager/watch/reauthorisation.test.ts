import { strict as assert } from "node:assert";
import { newToken, tokenHash } from "../../common/access/tokens.ts";
import { isNebulaError, NebulaError } from "../../common/errors/nebula-error.ts";
import type { AccessStore } from "../../common/storage/access-store.ts";
import { eventually } from "../../common/testing/eventually.ts";
import { newSessionToken, sessionKey } from "../access/sessions.ts";
import { bearer, putTestDevice, putTestUser, putTestUserGroup } from "../testing/test-access.ts";
import { type RigOptions, startWatchRig, type TestWatch } from "../testing/watch-rig.ts";

async function startRig(options: RigOptions = {}) {
  const rig = await startWatchRig({ auth: true, ...options });
  await rig.putGroup("g", []);
  return rig;
}

async function served(...watches: readonly TestWatch[]): Promise<void> {
  await eventually(() => assert.ok(watches.every(({ answers }) => answers.length > 0)), { timeoutMs: 3000 });
}

/** Waits for the end of a watch. */
async function endOf(watch: TestWatch, withinMs = 1000): Promise<unknown> {
  let ended: unknown = "goes on";
  void watch.ended.then((error) => {
    ended = error;
  });
  await eventually(() => assert.notEqual(ended, "goes on"), { timeoutMs: withinMs });
  return ended;
}

/** How long the watches of 40 devices may take to be looked at: one every 100 ms, and several times that on a slow machine. */
const DEVICES_MS = 15_000;

describe("open watches, when what credentials may do changes", () => {
  it("a watch ends within a second for a device whose token was revoked, and for no other", async () => {
    await using rig = await startRig();
    const [first, second] = [await putTestDevice(rig.accessStore, "d1", "g"), await putTestDevice(rig.accessStore, "d2", "g")];
    const revoked = rig.watch({ deviceId: "d1" }, rig.channel(), bearer(first));
    const stays = rig.watch({ deviceId: "d2" }, rig.channel(), bearer(second));
    await served(revoked, stays);
    await rig.accessStore.revokeDeviceToken("d1");
    await rig.accessChanged("device/d1");
    assert.ok(isNebulaError(await endOf(revoked), "unauthenticated"));
    assert.equal(rig.hub.streams, 1);
    await assert.rejects(
      rig.watch({ deviceId: "d1" }, rig.channel(), bearer(first)).ended.then((error) => Promise.reject(error)),
      (error) => isNebulaError(error, "unauthenticated"),
    );
    assert.equal(rig.hub.streams, 1);
  });

  it("a watch ends within a second for a user whose rights were taken, with all that came with the credential, and other watches continue", async () => {
    await using rig = await startRig();
    const token = newToken();
    await putTestUser(rig.accessStore, "ann", { token, deviceGroups: { other: "ro" } });
    await putTestUserGroup(rig.accessStore, "ops", ["ann"], { deviceGroups: { g: "rw" } });
    await rig.putGroup("other", []);
    const channel = rig.channel();
    const lost = ["d1", "d2", "d3"].map((deviceId) => rig.watch({ deviceId }, channel, bearer(token)));
    const kept = rig.watch({ deviceId: "d4", deviceGroup: "other" }, channel, bearer(token));
    await served(...lost, kept);
    await putTestUserGroup(rig.accessStore, "ops", ["ann"], { deviceGroups: { g: "ro" } });
    await rig.accessChanged("user_group/ops");
    await putTestUserGroup(rig.accessStore, "ops", [], { deviceGroups: { g: "ro" } });
    await rig.accessChanged("user_group/ops");
    for (const watch of lost) {
      const error = await endOf(watch);
      assert.ok(isNebulaError(error, "permission_denied") && /ann.*device_group g/.test(error.message));
    }
    assert.equal(rig.hub.streams, 1);
    await rig.putApp("web", "nginx:1");
    await rig.putGroup("other", ["web"]);
    await eventually(() => assert.equal(kept.last, "nginx:1@1"), { timeoutMs: 2000 });
  });

  it("a watch ends for a user who was deleted, or whose token was replaced", async () => {
    for (const change of ["delete", "replace"] as const) {
      await using rig = await startRig();
      const token = newToken();
      await putTestUser(rig.accessStore, "ann", { token, admin: true });
      const watch = rig.watch({ deviceId: "d1" }, rig.channel(), bearer(token));
      await served(watch);
      const user = await rig.accessStore.getUser("ann");
      assert.ok(user !== undefined);
      const next = change === "delete" ? { deleted: true, tokenHash: "" } : { tokenHash: tokenHash(newToken()) };
      await rig.accessStore.writeUser({ ...user, ...next, expected: user.revision, revision: user.revision + 1n });
      await rig.accessChanged("user/ann");
      assert.ok(isNebulaError(await endOf(watch), "unauthenticated"));
    }
  });

  it("a watch ends without the feed, too: the stamp is read every cache_time, and each device is checked in its turn", async () => {
    await using rig = await startRig({ cacheTimeMs: 400 });
    rig.feedLoses = true;
    const tokens = await Promise.all(Array.from({ length: 40 }, (_, index) => putTestDevice(rig.accessStore, `d${index}`, "g")));
    const channel = rig.channel();
    const watches = tokens.map((token, index) => rig.watch({ deviceId: `d${index}` }, channel, bearer(token)));
    await served(...watches);
    for (const index of [3, 20, 39]) await rig.accessStore.revokeDeviceToken(`d${index}`);
    for (const index of [3, 20, 39]) assert.ok(isNebulaError(await endOf(watches[index] ?? assert.fail(), DEVICES_MS), "unauthenticated"));
    assert.equal(rig.hub.streams, 37);
  });

  it("E3: a watch that was opened with a session ends with it without the feed, too, within twice cache_time", async () => {
    let stamps = 0;
    const wrapAccessStore = (store: AccessStore): AccessStore =>
      new Proxy(store, {
        get(target, name) {
          if (name === "stamp") stamps++;
          const value = Reflect.get(target, name);
          return typeof value === "function" ? value.bind(target) : value;
        },
      });
    await using rig = await startRig({ cacheTimeMs: 400, wrapAccessStore });
    rig.feedLoses = true;
    const token = newToken();
    await putTestUser(rig.accessStore, "ann", { token, deviceGroups: { "*": "ro" } });
    const made = { user: "ann", boundTo: `user_token ${tokenHash(token)}`, madeFrom: "", createdAt: Date.now(), expiresAt: Date.now() + 3_600_000 };
    const [ends, stays] = [newSessionToken(), newSessionToken()];
    for (const one of [ends, stays]) await rig.accessStore.createSession({ ...made, ...sessionKey(one) }, 20);
    const channel = rig.channel();
    const watch = rig.watch({ deviceId: "d1" }, channel, bearer(ends));
    await served(watch, rig.watch({ deviceId: "d2" }, channel, bearer(stays)));
    const stamp = await rig.accessStore.stamp();
    const before = stamps;
    await eventually(() => assert.ok(stamps > before + 2), { timeoutMs: 5000 }); // the generation of the new user has begun
    assert.equal(await rig.accessStore.deleteSession(sessionKey(ends).id), "done");
    assert.ok(isNebulaError(await endOf(watch, 5000), "unauthenticated"));
    assert.deepEqual([rig.hub.streams, await rig.accessStore.stamp()], [1, stamp]);
  });

  it("E1: open watches cost one read of each credential in a round, for any number of watches, and no read for its calls after that (E4)", async () => {
    const reads: string[] = [];
    const wrapAccessStore = (store: AccessStore): AccessStore =>
      new Proxy(store, {
        get(target, name) {
          const value = Reflect.get(target, name);
          if (typeof value !== "function") return value;
          return (...args: unknown[]) => {
            if (name !== "stamp") reads.push(String(name));
            return Reflect.apply(value, target, args);
          };
        },
      });
    await using rig = await startRig({ wrapAccessStore });
    const token = newToken();
    await putTestUser(rig.accessStore, "ann", { token, deviceGroups: { "*": "ro" } });
    const channel = rig.channel();
    await served(rig.watch({ deviceId: "first" }, channel, bearer(token)));
    await served(...Array.from({ length: 50 }, (_, index) => rig.watch({ deviceId: `d${index}` }, channel, bearer(token))));
    reads.length = 0;
    await putTestUserGroup(rig.accessStore, "ops", ["bob"], { deviceGroups: { g: "rw" } });
    await rig.accessChanged("user_group/ops");
    await eventually(() => assert.deepEqual(reads, ["getUser", "groupsOf"]), { timeoutMs: 1000 });
    await served(rig.watch({ deviceId: "later" }, channel, bearer(token)));
    assert.deepEqual(reads, ["getUser", "groupsOf"]);
  });

  it("E2: open watches continue while the store cannot be read, and end when it can", async () => {
    let isDown = false;
    const wrapAccessStore = (store: AccessStore): AccessStore =>
      new Proxy(store, {
        get(target, name) {
          const value = Reflect.get(target, name);
          if (typeof value !== "function") return value;
          return (...args: unknown[]) =>
            isDown && name !== "stamp" ? Promise.reject(new NebulaError("unavailable", "down")) : Reflect.apply(value, target, args);
        },
      });
    await using rig = await startRig({ wrapAccessStore });
    const token = await putTestDevice(rig.accessStore, "d1", "g");
    const watch = rig.watch({ deviceId: "d1" }, rig.channel(), bearer(token));
    await served(watch);
    isDown = true;
    await rig.accessStore.revokeDeviceToken("d1");
    await rig.accessChanged("device/d1");
    await rig.putApp("web", "nginx:1");
    await rig.putGroup("g", ["web"]);
    await eventually(() => assert.equal(watch.last, "nginx:1@1"), { timeoutMs: 2000 });
    assert.equal(rig.hub.streams, 1);
    isDown = false;
    assert.ok(isNebulaError(await endOf(watch, 3000), "unauthenticated"));
  });
});
