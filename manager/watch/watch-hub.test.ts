import { strict as assert } from "node:assert";
import { create } from "@bufbuild/protobuf";
import { ManualClock } from "../../common/clock/manual-clock.ts";
import { isNebulaError } from "../../common/errors/nebula-error.ts";
import type { ConfigStore } from "../../common/storage/config-store.ts";
import { eventually } from "../../common/testing/eventually.ts";
import { DeviceSchema } from "../../gen/nebula/v1/device_pb.ts";
import { inUseElsewhere } from "../access/present-groups.ts";
import { plainStore } from "../testing/plain-store.ts";
import { putTestDevice, putTestUser } from "../testing/test-access.ts";
import { startWatchRig } from "../testing/watch-rig.ts";

/** A store whose reads of entities are noted: kind and name. */
function counted(store: ConfigStore, reads: string[]): ConfigStore {
  return {
    ...plainStore(store),
    get(key, options) {
      reads.push(`${key.kind} ${key.name}`);
      return store.get(key, options);
    },
    getMany(kind, names) {
      reads.push(...names.map((name) => `${kind} ${name}`));
      return store.getMany(kind, names);
    },
  };
}

describe("watch", () => {
  it("tells the config now and after every change", async () => {
    await using rig = await startWatchRig();
    await rig.putApp("web", "nginx:1");
    await rig.putGroup("g", ["web"]);
    const watch = rig.watch({});
    await eventually(() => watch.last === "nginx:1@1");
    await rig.putApp("web", "nginx:2");
    await eventually(() => watch.last === "nginx:2@2");
    await rig.putApp("db", "redis:7");
    await rig.putGroup("g", ["db", "web"]);
    await eventually(() => watch.last === "redis:7@1 nginx:2@2");
    assert.equal(watch.answers.length, 3);
  });

  it("says unchanged to a device that holds the newest config, and tells it the next one", async () => {
    await using rig = await startWatchRig();
    await rig.putApp("web", "nginx:1");
    await rig.putGroup("g", ["web"]);
    const first = rig.watch({});
    await eventually(() => first.last === "nginx:1@1");
    const [answer] = first.answers;
    const etag = answer?.case === "config" ? answer.value.etag : "";
    const second = rig.watch({ etag });
    const third = rig.watch({ etag: "another" });
    await eventually(() => second.last === "unchanged" && third.last === "nginx:1@1");
    await rig.putApp("web", "nginx:2");
    await eventually(() => second.last === "nginx:2@2");
    assert.deepEqual(second.heard, ["unchanged", "nginx:2@2"]);
  });

  it("keeps the watch of a group that is not there, and tells the config when it is", async () => {
    await using rig = await startWatchRig();
    await rig.putApp("web", "nginx:1");
    const watch = rig.watch({});
    await eventually(() => watch.last === "noSuchGroup");
    await rig.putGroup("g", ["web"]);
    await eventually(() => watch.last === "nginx:1@1");
    await rig.remove({ kind: "device_group", name: "g" });
    await eventually(() => watch.last === "noSuchGroup");
    await rig.putGroup("g", ["web"]);
    await eventually(() => watch.last === "nginx:1@1");
    assert.deepEqual(watch.heard, ["noSuchGroup", "nginx:1@1", "noSuchGroup", "nginx:1@1"]);
  });

  it("R1, R2: a deleted app, and one that never was, are entries without a spec", async () => {
    await using rig = await startWatchRig();
    await rig.putApp("web", "nginx:1");
    await rig.putGroup("g", ["web", "never"]);
    const watch = rig.watch({});
    await eventually(() => watch.last === "nginx:1@1 none@0");
    await rig.remove({ kind: "app", name: "web" });
    await eventually(() => watch.last === "none@2 none@0");
    await rig.putApp("web", "nginx:3");
    await eventually(() => watch.last === "nginx:3@3 none@0");
  });

  it("encodes a change once for all streams of a group", async () => {
    await using rig = await startWatchRig();
    await rig.putApp("web", "nginx:1");
    await rig.putGroup("g", ["web"]);
    const watches = Array.from({ length: 200 }, (_, index) => rig.watch({ deviceId: `d${index}` }));
    await eventually(() => watches.every(({ last }) => last === "nginx:1@1"));
    const before = await rig.metric("nebula_config_loads_total");
    await rig.putApp("web", "nginx:2");
    await eventually(() => watches.every(({ last }) => last === "nginx:2@2"));
    assert.equal((await rig.metric("nebula_config_loads_total")) - before, 1);
    assert.equal(await rig.metric("nebula_watches"), 200);
  });

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

  it("H4: reads a changed app once and alone, however many groups of however many members name it", async () => {
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

  it("reads a changed group and its new members alone; a member that left and came back is read again", async () => {
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

  it("gives the place of a load without an answer to other groups after 3 s, and loads its group when the store answers", async () => {
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
    await clock.advance(3000);
    await eventually(() => watch.answers.length === 1);
    hangs = false;
    await clock.advance(60_000);
    await eventually(() => waiting.every(({ answers }) => answers.length === 1));
  });

  it("repairs a change that the feed lost within the cache time", async () => {
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

  it("W4: the re-check reads one revision per entity, however many groups and devices share it, and nothing where nobody watches", async () => {
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

  it("R3: never goes back, whatever an old replica of the store answers", async () => {
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

  it("keeps watches open while the store is away, and goes on when it is back", async () => {
    let away = true;
    await using rig = await startWatchRig({
      cacheTimeMs: 50,
      wrapStore: (store) => ({
        ...plainStore(store),
        get: (key) => (away ? Promise.reject(new Error("the store is away")) : store.get(key)),
        revisions: (keys) => (away ? Promise.reject(new Error("the store is away")) : store.revisions(keys)),
      }),
    });
    const watch = rig.watch({});
    await eventually(async () => (await rig.metric("nebula_config_loads_total")) >= 2);
    assert.deepEqual(watch.heard, []);
    away = false;
    await rig.putApp("web", "nginx:1");
    await rig.putGroup("g", ["web"]);
    await eventually(() => watch.last === "nginx:1@1");
  });

  it("H3: a second watch of a device with the same boot ends its first", async () => {
    await using rig = await startWatchRig();
    await rig.putGroup("g", []);
    const channel = rig.channel();
    const first = rig.watch({ deviceId: "d", boot: "b1" }, channel);
    await eventually(() => first.answers.length === 1);
    const clone = rig.watch({ deviceId: "d", boot: "b2" }, channel);
    const second = rig.watch({ deviceId: "d", boot: "b1" }, channel);
    await eventually(() => second.answers.length === 1 && clone.answers.length === 1);
    assert.ok(isNebulaError(await first.ended, "conflict"));
    assert.equal(rig.hub.streams, 2);
  });

  it("H3: a second watch is refused to who has no rights on the first one's group, and the first goes on", async () => {
    await using rig = await startWatchRig({ auth: true });
    await rig.putGroup("shops", []);
    await rig.putGroup("bank", []);
    await putTestUser(rig.accessStore, "bob", { token: "token-of-bob", deviceGroups: { shops: "rw" } });
    await putTestUser(rig.accessStore, "ann", { token: "token-of-ann", deviceGroups: { "*": "ro" } });
    rig.devices.set("till", create(DeviceSchema, { deviceId: "till", deviceGroup: "bank" }));
    const as = (deviceGroup: string, token: string) =>
      rig.watch({ deviceGroup, deviceId: "till", boot: "b1" }, rig.channel(), { authorization: `Bearer ${token}` });
    const first = as("bank", "token-of-ann");
    await eventually(() => first.answers.length === 1);
    const refusal = await as("shops", "token-of-bob").ended;
    assert.ok(isNebulaError(refusal, "permission_denied") && refusal.message === inUseElsewhere("till").message, String(refusal));
    assert.deepEqual(
      rig.audited.map(({ who, kind, name, outcome }) => [who, kind, name, outcome]),
      [["bob", "device", "till", "PERMISSION_DENIED"]],
    );
    assert.equal(rig.hub.streams, 1);
    const same = as("bank", "token-of-ann");
    assert.ok(isNebulaError(await first.ended, "conflict"));
    await eventually(() => same.answers.length === 1);
  });

  it("H3: a watch from elsewhere that was first keeps no device out of the group that it is in", async () => {
    await using rig = await startWatchRig({ auth: true });
    await rig.putGroup("shops", []);
    await rig.putGroup("bank", []);
    await putTestUser(rig.accessStore, "bob", { token: "token-of-bob", deviceGroups: { shops: "rw" } });
    const till = await putTestDevice(rig.accessStore, "till", "bank");
    const squatter = rig.watch({ deviceGroup: "shops", deviceId: "till", boot: "b1" }, rig.channel(), { authorization: "Bearer token-of-bob" });
    await eventually(() => squatter.answers.length === 1);
    const device = rig.watch({ deviceGroup: "bank", deviceId: "till", boot: "b1" }, rig.channel(), { authorization: `Bearer ${till}` });
    assert.ok(isNebulaError(await squatter.ended, "conflict"));
    await eventually(() => device.answers.length === 1);
    assert.equal(rig.hub.streams, 1);
  });

  it("forgets a group when its last watch is gone", async () => {
    await using rig = await startWatchRig();
    await rig.putGroup("g", []);
    const watch = rig.watch({ deviceId: "d" });
    await eventually(() => watch.answers.length === 1);
    watch.close();
    await eventually(() => rig.hub.streams === 0 && rig.hub.groups === 0);
  });

  it("ends every watch with a hint to come back when it stops", async () => {
    await using rig = await startWatchRig();
    await rig.putGroup("g", []);
    const watches = Array.from({ length: 150 }, (_, index) => rig.watch({ deviceId: `d${index}` }));
    await eventually(() => watches.every(({ answers }) => answers.length === 1));
    await rig.hub.stop();
    for (const watch of watches) assert.equal(await watch.ended, undefined);
    const last = watches.map(({ answers }) => answers.at(-1));
    assert.ok(last.every((answer) => answer?.case === "redirect" && answer.value.address === "" && answer.value.retryAfterMs > 0));
    const late = rig.watch({});
    assert.equal(await late.ended, undefined);
    assert.deepEqual(late.heard, ["redirect"]);
  });
});

/** Resolves when what was published has come to the hub. */
function announced(): Promise<void> {
  return new Promise((resolve) => setImmediate(() => setImmediate(resolve)));
}
