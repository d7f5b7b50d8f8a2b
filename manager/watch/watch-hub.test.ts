import { strict as assert } from "node:assert";
import { create } from "@bufbuild/protobuf";
import { PART_TOKEN_HEADER, partToken } from "../../common/access/part-token.ts";
import { ManualClock } from "../../common/clock/manual-clock.ts";
import { isNebulaError } from "../../common/errors/nebula-error.ts";
import { eventually } from "../../common/testing/eventually.ts";
import { MARKED_MS } from "../../common/v2/polled-marks.ts";
import { DeviceSchema } from "../../gen/nebula/v1/device_pb.ts";
import { inUseElsewhere } from "../access/present-groups.ts";
import { plainStore } from "../testing/plain-store.ts";
import { putTestDevice, putTestUser } from "../testing/test-access.ts";
import { RIG_CLUSTER_KEY, startWatchRig, TestWatch } from "../testing/watch-rig.ts";

describe("watch", () => {
  it("a watch sends the config now and after every change", async () => {
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

  it("a watch answers unchanged to a device that holds the newest config, and sends it the next one", async () => {
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

  it("a watch of a group that does not exist stays open, and sends the config once it exists", async () => {
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

  it("a change is encoded once for all streams of a group", async () => {
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

  it("watches stay open while the store is unreachable, and continue afterwards", async () => {
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

  it("H1: presence is of devices' watches alone, with the version of their worker, from their registration to their end", async () => {
    const noted: string[] = [];
    const presence = {
      opened: (deviceGroup: string, deviceId: string, version = "") => void noted.push(`+${deviceId}${version && ` ${version}`} in ${deviceGroup}`),
      closed: (deviceId: string) => void noted.push(`-${deviceId}`),
    };
    await using rig = await startWatchRig({ presence });
    await rig.putGroup("g", []);
    const watches = [rig.watch({ deviceId: "d-1", workerVersion: "0.1.0" }), rig.watch({ deviceId: "" }), rig.watch({ deviceId: "d-2" })];
    await eventually(() => watches.every(({ answers }) => answers.length === 1));
    assert.deepEqual(noted.toSorted(), ["+d-1 0.1.0 in g", "+d-2 in g"]);
    watches[0]?.close();
    await eventually(() => noted.includes("-d-1"));
    const again = rig.watch({ deviceId: "d-2" }); // the same boot: it replaces the first
    await eventually(() => again.answers.length === 1);
    assert.deepEqual(noted.slice(-2), ["+d-2 in g", "-d-2"]);
    await rig.hub.stop();
    assert.deepEqual(noted.slice(-1), ["-d-2"]);
    assert.equal(noted.length, 6);
  });

  it("H3: a second watch is refused to a caller without rights on the first one's group, and the first continues", async () => {
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

  it("H3: a watch from elsewhere that was first keeps no device out of its own group", async () => {
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

  it("a group is forgotten when its last watch is gone", async () => {
    await using rig = await startWatchRig();
    await rig.putGroup("g", []);
    const watch = rig.watch({ deviceId: "d" });
    await eventually(() => watch.answers.length === 1);
    watch.close();
    await eventually(() => rig.hub.streams === 0 && rig.hub.groups === 0);
  });

  it("every watch ends with a hint to come back when the hub stops", async () => {
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

describe("a device_group that a gateway follows for workers of the original", () => {
  const marksOf = (marked: string[], elsewhere: readonly string[] = []) => ({
    mark: async (groups: readonly string[]) => void marked.push(...groups),
    isMarked: async (group: string) => elsewhere.includes(group),
    async [Symbol.asyncDispose]() {},
  });
  const headers = { [PART_TOKEN_HEADER]: partToken(RIG_CLUSTER_KEY) };

  it("a group that a gateway follows counts as polled, and is marked for the other shards at once and again before the mark expires", async () => {
    const marked: string[] = [];
    const clock = new ManualClock();
    await using rig = await startWatchRig({ clock, polledMarks: marksOf(marked) });
    await rig.putGroup("g", []);
    const device = rig.watch({ deviceId: "d" });
    await eventually(() => device.answers.length === 1);
    assert.deepEqual([await rig.hub.isPolled("g"), marked], [false, []], "a device does not poll");
    const gateway = new TestWatch(rig.channel(), { deviceGroup: "g" }, headers);
    await eventually(() => gateway.answers.length === 1);
    assert.deepEqual([await rig.hub.isPolled("g"), marked], [true, ["g"]]);
    await clock.advance(MARKED_MS - 1);
    await eventually(() => marked.length >= 2);
    gateway.close();
    await gateway.ended;
    await eventually(async () => !(await rig.hub.isPolled("g")));
    const before = marked.length;
    await clock.advance(MARKED_MS);
    assert.equal(marked.length, before);
  });

  it("a group that another shard marked counts as polled", async () => {
    await using rig = await startWatchRig({ polledMarks: marksOf([], ["g"]) });
    assert.deepEqual([await rig.hub.isPolled("g"), await rig.hub.isPolled("h")], [true, false]);
  });
});
