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
