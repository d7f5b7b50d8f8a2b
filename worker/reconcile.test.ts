import { strict as assert } from "node:assert";
import { perServer } from "./testing/config-builder.ts";
import { Rig } from "./testing/rig.ts";

describe("the reconciler", () => {
  it("makes what the config asks for, and nothing more at a second look", async () => {
    await using rig = new Rig();
    await rig.start({ apps: { web: { containersPer: perServer(3) }, db: {} } });
    assert.deepEqual(rig.shown, ["db-1 running", "web-1 running", "web-2 running", "web-3 running"]);
    assert.equal(rig.stateOf("web"), "applied");
    rig.calls.length = 0;
    await rig.pass(5 * 60_000);
    assert.deepEqual([...new Set(rig.calls.map(({ method }) => method))].sort(), ["listContainers", "listImages", "listNetworks"]);
  });

  it("follows a change of the image, with the old one running until the new one is made", async () => {
    await using rig = new Rig();
    await rig.start({ apps: { web: {} } });
    rig.calls.length = 0;
    await rig.apply({ apps: { web: { revision: 2n, dockerImage: "shop:2" } } });
    assert.deepEqual(rig.shown, ["web-1 running"]);
    assert.match(rig.named("web-1").image, /shop:2/);
    assert.deepEqual(
      rig.calls.map(({ method }) => method).filter((method) => !method.startsWith("list")),
      ["pull", "create", "connectNetwork", "stop", "rename", "rename", "start", "remove"],
    );
  });

  it("repairs what somebody removed, stopped or paused", async () => {
    await using rig = new Rig();
    await rig.start({ apps: { web: { containersPer: perServer(2) } } });
    await rig.runtime.remove(rig.named("web-1").id, { force: true }, AbortSignal.timeout(1000));
    await rig.runtime.stop(rig.named("web-2").id, 10, AbortSignal.timeout(1000));
    rig.calls.length = 0;
    await rig.settle();
    assert.deepEqual(rig.shown, ["web-1 running", "web-2 running"]);
    assert.deepEqual(rig.methods("pull"), [], "a container that has to be made again uses the local image");
  });

  it("removes what is stopped, deleted, or out of the group", async () => {
    await using rig = new Rig();
    await rig.start({ apps: { a: {}, b: {}, c: {}, d: {} } });
    await rig.apply({ groupRevision: 2n, apps: { a: { running: false, revision: 2n }, b: undefined, d: {} } });
    assert.deepEqual(rig.shown, ["d-1 running"]);
    assert.equal(rig.stateOf("a"), "applied");
    assert.equal(rig.stateOf("b"), "applied");
  });
});

describe("rounds", () => {
  it("a newer config ends the older round between two steps", async () => {
    await using rig = new Rig();
    await rig.start({ apps: { a: {} } });
    let isFirst = true;
    const created: string[] = [];
    rig.runtime.before = async (call) => {
      if (call.method !== "create") return;
      created.push(call.target);
      if (!isFirst) return;
      isFirst = false;
      await rig.apply({ groupRevision: 2n, apps: { a: {}, z: {} } });
    };
    const apps = Object.fromEntries(Array.from({ length: 20 }, (_, i) => [`app${i}`, {}]));
    await rig.apply({ apps: { a: {}, ...apps } });
    await rig.settle();
    assert.deepEqual(rig.shown, ["a-1 running", "z-1 running"]);
    assert.ok(created.length <= 5, `only what was begun: ${created}`);
  });

  it("a stop that takes its time delays nothing else", async () => {
    await using rig = new Rig({ behaviour: (image) => ({ stopMs: image.includes("shop:1") ? 10_000 : 0 }) });
    await rig.start({ apps: { slow: {}, quick: { dockerImage: "shop:2" } } });
    await rig.apply({ apps: { slow: { revision: 2n, dockerImage: "shop:2" }, quick: { revision: 2n, dockerImage: "shop:2", user: "1" } } });
    assert.equal(rig.stateOf("quick"), "applied");
    assert.equal(rig.stateOf("slow"), "working: stop");
    await rig.pass(10_000);
    assert.equal(rig.stateOf("slow"), "applied");
  });

  it("an engine that goes away and comes back is followed, with what changed meanwhile", async () => {
    await using rig = new Rig();
    await rig.start({ apps: { web: {} } });
    rig.runtime.shutDown();
    await rig.pass(1000);
    assert.equal(rig.look?.kind, "engine_unreachable");
    await rig.apply({ apps: { web: { revision: 2n, dockerImage: "shop:2" } } });
    await rig.pass(60_000);
    rig.runtime.boot();
    await rig.pass(20_000);
    assert.match(rig.named("web-1").image, /shop:2/);
    assert.deepEqual(rig.shown, ["web-1 running"]);
  });

  it("events that are lost cost time, never correctness: the net catches them", async () => {
    await using rig = new Rig();
    await rig.start({ apps: { web: {} } });
    await rig.pass(15_000);
    rig.runtime.isMute = true;
    await rig.runtime.remove(rig.named("web-1").id, { force: true }, new AbortController().signal);
    await rig.pass(4 * 60_000);
    assert.deepEqual(rig.shown, []);
    await rig.pass(60_000);
    assert.deepEqual(rig.shown, ["web-1 running"]);
  });

  it("what is undone again and again is done slowly", async () => {
    await using rig = new Rig();
    await rig.start({ apps: { web: {} } });
    let isUndoing = true;
    rig.runtime.before = async (call) => {
      rig.calls.push(call);
      // An engine that says done and does not: what was started is found stopped.
      if (isUndoing && call.method === "listContainers")
        for (const { id } of rig.containers) await rig.runtime.stop(id, 0, new AbortController().signal).catch(() => {});
    };
    rig.calls.length = 0;
    await rig.pass(60_000, 1000);
    isUndoing = false;
    assert.ok(rig.methods("start").length < 500, `${rig.methods("start").length} starts within a minute`);
  });
});
