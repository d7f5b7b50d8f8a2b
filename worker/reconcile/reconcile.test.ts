import { strict as assert } from "node:assert";
import { perServer } from "../../common/testing/config-builder.ts";
import { Rig } from "../testing/rig.ts";

describe("the reconciler", () => {
  it("the reconciler makes the containers of the config, and nothing more at a second look", async () => {
    await using rig = new Rig();
    await rig.start({ apps: { web: { containersPer: perServer(3) }, db: {} } });
    assert.deepEqual(rig.shown, ["db-1 running", "web-1 running", "web-2 running", "web-3 running"]);
    assert.equal(rig.stateOf("web"), "applied");
    rig.calls.length = 0;
    await rig.pass(5 * 60_000);
    assert.deepEqual([...new Set(rig.calls.map(({ method }) => method))].sort(), ["listContainers", "listImages", "listNetworks"]);
  });

  it("the reconciler follows a change of the image, with the old container running until the new one is made", async () => {
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

  it("the reconciler creates a removed container again, starts a stopped one, and unpauses a paused one after 2 minutes", async () => {
    await using rig = new Rig();
    await rig.start({ apps: { web: { containersPer: perServer(3) } } });
    const [removed, stopped, paused] = ["web-1", "web-2", "web-3"].map((name) => rig.named(name).id);
    await rig.runtime.remove(removed ?? "", { force: true }, AbortSignal.timeout(1000));
    await rig.runtime.stop(stopped ?? "", 10, AbortSignal.timeout(1000));
    rig.runtime.pause(paused ?? "");
    rig.calls.length = 0;
    await rig.settle();
    assert.deepEqual(rig.shown, ["web-1 running", "web-2 running", "web-3 paused"]);
    await rig.pass(2 * 60_000, 10_000);
    assert.deepEqual(rig.shown, ["web-1 running", "web-2 running", "web-3 running"]);
    assert.notEqual(rig.named("web-1").id, removed);
    assert.deepEqual([rig.named("web-2").id, rig.named("web-3").id], [stopped, paused]);
    assert.deepEqual(rig.methods("pull", "restart"), [], "a container that has to be created again uses the local image");
  });

  it("the reconciler removes containers of apps that are stopped, deleted, or out of the group", async () => {
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

  it("events that are lost cost time, never correctness: the periodic look catches them", async () => {
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

  it("a change that is undone again and again is made slowly", async () => {
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
