import { strict as assert } from "node:assert";
import { ManualClock } from "../../common/clock/manual-clock.ts";
import type { ClusterIdentity, ConfigStore, StoredEntity } from "../../common/storage/config-store.ts";
import { eventually } from "../../common/testing/eventually.ts";
import { plainStore } from "../testing/plain-store.ts";
import { startWatchRig } from "../testing/watch-rig.ts";

/** A store whose reads of entities are noted: kind and name. */
function counted(store: ConfigStore, reads: string[]): ConfigStore {
  return {
    ...plainStore(store),
    get(key, options) {
      reads.push(`${key.kind} ${key.name}`);
      return store.get(key, options);
    },
    getMany(kind, names, options) {
      reads.push(...names.map((name) => `${kind} ${name}`));
      return store.getMany(kind, names, options);
    },
  };
}

describe("what a shard reads for its watches", () => {
  it("W1: a change while the first config is looked up is not missed", async () => {
    const reached = Promise.withResolvers<void>();
    const go = Promise.withResolvers<void>();
    let held = true;
    await using rig = await startWatchRig({
      wrapStore: (store) => ({
        ...plainStore(store),
        async getMany(kind, names) {
          const found = await store.getMany(kind, names);
          if (kind === "app" && held) {
            held = false;
            reached.resolve();
            await go.promise;
          }
          return found;
        },
      }),
    });
    await rig.putApp("web", "nginx:1");
    await rig.putGroup("g", ["web"]);
    const watch = rig.watch({});
    await reached.promise;
    await rig.putApp("web", "nginx:2");
    await announced();
    go.resolve();
    await eventually(() => watch.last === "nginx:2@2");
  });

  it("W3: any number of hints during a read that covers them cause no further read", async () => {
    const go = Promise.withResolvers<void>();
    let loads = 0;
    await using rig = await startWatchRig({
      wrapStore: (store) => ({
        ...plainStore(store),
        async get(key, options) {
          if (++loads === 2) await go.promise;
          return store.get(key, options);
        },
      }),
    });
    await rig.putApp("web", "nginx:1");
    await rig.putGroup("g", ["web"]);
    const watch = rig.watch({});
    await eventually(() => watch.last === "nginx:1@1");
    for (let version = 2; version <= 30; version++) {
      await rig.putApp("web", `nginx:${version}`);
      if (version === 2) await eventually(() => loads === 2);
    }
    await announced();
    go.resolve();
    await eventually(() => watch.last === "nginx:30@30");
    await announced();
    assert.equal(loads, 2, "one of the group, one of the app");
  });

  it("H4: a changed app is read once and alone, for any number of groups and members that name it", async () => {
    const reads: string[] = [];
    await using rig = await startWatchRig({ wrapStore: (store) => counted(store, reads) });
    const members = Array.from({ length: 20 }, (_, index) => `app-${index}`);
    for (const name of members) await rig.putApp(name, "nginx:1");
    const groups = Array.from({ length: 50 }, (_, index) => `g${index}`);
    for (const name of groups) await rig.putGroup(name, members);
    const watches = groups.map((deviceGroup) => rig.watch({ deviceGroup }));
    await eventually(() => watches.every(({ answers }) => answers.length === 1));
    reads.length = 0;
    await rig.putApp("app-7", "nginx:2");
    await eventually(() => watches.every(({ last }) => last?.includes("nginx:2@2") === true));
    assert.deepEqual(reads, ["app app-7"]);
  });

  it("a changed group and its new members are read alone; a member that left and came back is read again", async () => {
    const reads: string[] = [];
    await using rig = await startWatchRig({ wrapStore: (store) => counted(store, reads) });
    for (const name of ["web", "db", "mail"]) await rig.putApp(name, "nginx:1");
    await rig.putGroup("g", ["web", "db"]);
    const watch = rig.watch({});
    await eventually(() => watch.last === "nginx:1@1 nginx:1@1");
    reads.length = 0;
    await rig.putGroup("g", ["web", "db", "mail"]);
    await eventually(() => watch.last === "nginx:1@1 nginx:1@1 nginx:1@1");
    assert.deepEqual(reads, ["device_group g", "app mail"]);
    await rig.putGroup("g", ["web"]);
    await eventually(() => watch.last === "nginx:1@1");
    await rig.putApp("db", "redis:7");
    reads.length = 0;
    await rig.putGroup("g", ["web", "db"]);
    await eventually(() => watch.last === "nginx:1@1 redis:7@2");
    assert.deepEqual(reads, ["device_group g", "app db"]);
  });

  it("a load without an answer gives its place to other groups after 3 s, and its group is loaded when the store answers", async () => {
    const clock = new ManualClock();
    const stuck = Array.from({ length: 8 }, (_, index) => `stuck-${index}`);
    let hangs = true;
    await using rig = await startWatchRig({
      clock,
      wrapStore: (store) => ({
        ...plainStore(store),
        get: (key, options) => (hangs && key.name.startsWith("stuck") ? new Promise(() => {}) : store.get(key, options)),
      }),
    });
    for (const name of [...stuck, "g"]) await rig.putGroup(name, []);
    const waiting = stuck.map((deviceGroup) => rig.watch({ deviceGroup }));
    await eventually(() => rig.hub.groups === 8);
    const watch = rig.watch({});
    await eventually(() => rig.hub.groups === 9);
    assert.equal(watch.answers.length, 0, "all places are taken");
    assert.equal(await rig.metric("nebula_config_loads_queued"), 9);
    await clock.advance(3000);
    await eventually(() => watch.answers.length === 1);
    hangs = false;
    await clock.advance(60_000);
    await eventually(() => waiting.every(({ answers }) => answers.length === 1));
    await eventually(async () => (await rig.metric("nebula_config_loads_queued")) === 0);
  });

  it("the lookups end their rounds at another epoch of the store, and announce nothing that they read before", async () => {
    const found: ClusterIdentity[] = [];
    let rounds = 0;
    let revisions = 0;
    const counting = (store: ConfigStore): ConfigStore => {
      const { cluster } = store;
      return {
        ...plainStore(store),
        async readCluster() {
          return ++rounds < 3 ? cluster : { ...cluster, epoch: cluster.epoch + 1n };
        },
        revisions(keys, signal) {
          revisions++;
          return store.revisions(keys, signal);
        },
      };
    };
    const clock = new ManualClock();
    await using rig = await startWatchRig({ clock, cacheTimeMs: 1000, wrapStore: counting, onClusterChanged: (cluster) => found.push(cluster) });
    await rig.putGroup("g", []);
    const watch = rig.watch({});
    await eventually(() => watch.answers.length === 1);
    for (const round of [1, 2, 3]) {
      clock.advance(1000);
      await eventually(() => rounds === round && revisions === Math.min(round, 2));
    }
    await eventually(() => found.length === 1);
    assert.deepEqual(found, [{ id: rig.store.cluster.id, epoch: 2n }]);
    for (let round = 0; round < 3; round++) {
      clock.advance(1000);
      await new Promise(setImmediate);
    }
    assert.deepEqual([rounds, revisions, found.length], [3, 2, 1]);
  });

  it("a change that the feed lost is repaired within the cache time", async () => {
    await using rig = await startWatchRig({ cacheTimeMs: 150 });
    await rig.putApp("web", "nginx:1");
    await rig.putGroup("g", ["web"]);
    const watch = rig.watch({});
    const absent = rig.watch({ deviceGroup: "later" });
    await eventually(() => watch.last === "nginx:1@1" && absent.last === "noSuchGroup");
    rig.feedLoses = true;
    await rig.putApp("web", "nginx:2");
    await rig.putGroup("later", ["web"]);
    await eventually(() => watch.last === "nginx:2@2" && absent.last === "nginx:2@2", { timeoutMs: 2000 });
    assert.ok((await rig.metric("nebula_watch_repairs_total")) >= 2);
  });

  it("a gap of the feed compares all that is watched with the store at once", async () => {
    await using rig = await startWatchRig({ cacheTimeMs: 3_600_000 });
    await rig.putApp("web", "nginx:1");
    await rig.putGroup("g", ["web"]);
    const watch = rig.watch({});
    await eventually(() => watch.last === "nginx:1@1");
    rig.feedLoses = true;
    await rig.putApp("web", "nginx:2");
    rig.breakFeed();
    await eventually(() => watch.last === "nginx:2@2", { timeoutMs: 5000 });
    assert.equal(await rig.metric("nebula_watch_repairs_total"), 1);
  });

  it("W3: a group where the feed had a gap during its load is loaded again", async () => {
    let loads = 0;
    let release = () => {};
    const held = new Promise<void>((resolve) => {
      release = resolve;
    });
    await using rig = await startWatchRig({
      cacheTimeMs: 3_600_000,
      wrapStore: (store) => ({
        ...plainStore(store),
        async getMany(kind, names) {
          const members = await store.getMany(kind, names);
          if (kind === "app" && ++loads === 1) await held;
          return members;
        },
      }),
    });
    await rig.putApp("web", "nginx:1");
    await rig.putGroup("g", ["web"]);
    const watch = rig.watch({});
    await eventually(() => loads === 1);
    rig.feedLoses = true;
    await rig.putApp("web", "nginx:2");
    const lost = rig.putApp("other", "nginx:1"); // the feed loses announcements
    rig.breakFeed();
    await lost;
    await eventually(async () => (await rig.metric("nebula_watches")) === 1);
    release();
    await eventually(() => watch.last === "nginx:2@2", { timeoutMs: 5000 });
  });

  it("W4: the re-check reads one revision per entity, for any number of groups and devices, and nothing without a watch", async () => {
    const reads: number[] = [];
    await using rig = await startWatchRig({
      cacheTimeMs: 50,
      wrapStore: (store) => ({
        ...plainStore(store),
        revisions(keys) {
          reads.push(keys.length);
          return store.revisions(keys);
        },
      }),
    });
    await rig.putApp("web", "nginx:1");
    for (const name of ["a", "b", "c"]) await rig.putGroup(name, ["web"]);
    const watches = ["a", "a", "b", "c"].map((deviceGroup) => rig.watch({ deviceGroup }));
    await eventually(() => watches.every(({ last }) => last === "nginx:1@1"));
    await eventually(() => reads.at(-1) === 4);
    for (const watch of watches) watch.close();
    await eventually(() => rig.hub.groups === 0);
    const count = reads.length;
    await eventually(async () => (await rig.metric("nebula_watches")) === 0);
    assert.ok(reads.length <= count + 1);
  });

  it("R3: the lookups never go back to the answer of an old replica of the store", async () => {
    let old: Awaited<ReturnType<ConfigStore["getMany"]>> | undefined;
    let stale = false;
    await using rig = await startWatchRig({
      wrapStore: (store) => ({
        ...plainStore(store),
        async getMany(kind, names) {
          const found = await store.getMany(kind, names);
          if (kind !== "app") return found;
          old ??= found;
          return stale ? old : found;
        },
      }),
    });
    await rig.putApp("web", "nginx:1");
    await rig.putGroup("g", ["web"]);
    const watch = rig.watch({});
    await eventually(() => watch.last === "nginx:1@1");
    await rig.putApp("web", "nginx:2");
    await eventually(() => watch.last === "nginx:2@2");
    stale = true;
    await rig.putGroup("g", ["web", "db"]);
    await eventually(() => watch.last === "nginx:2@2 none@0");
  });

  it("R3: a member that came back at an older revision than it had is not sent, until a replica answers the newer one", async () => {
    const clock = new ManualClock();
    let stale: StoredEntity | undefined;
    let answered = 0;
    await using rig = await startWatchRig({
      clock,
      cacheTimeMs: 1000,
      wrapStore: (store) => ({
        ...plainStore(store),
        async getMany(kind, names, options) {
          const found = await store.getMany(kind, names, options);
          if (stale === undefined || kind !== "app" || !names.includes(stale.name)) return found;
          answered++;
          return new Map([...found, [stale.name, stale]]);
        },
      }),
    });
    await rig.putApp("web", "v1");
    const old = await rig.store.get({ kind: "app", name: "web" });
    await rig.putApp("web", "v2");
    await rig.putGroup("g", ["web"]);
    const watch = rig.watch({ deviceId: "d" });
    await eventually(() => watch.last === "v2@2");
    await rig.putGroup("g", []);
    await eventually(() => watch.last === "");
    stale = old;
    await rig.putGroup("g", ["web"]);
    await eventually(() => answered === 1);
    await clock.advance(1000);
    assert.ok(answered >= 2, "the load failed, and is repeated at the recheck");
    assert.deepEqual(watch.heard, ["v2@2", ""]);
    stale = undefined;
    await clock.advance(1000);
    await eventually(() => watch.last === "v2@2");
    assert.deepEqual(watch.heard, ["v2@2", "", "v2@2"]);
  });
});

/** Resolves when what was published has come to the hub. */
function announced(): Promise<void> {
  return new Promise((resolve) => setImmediate(() => setImmediate(resolve)));
}
