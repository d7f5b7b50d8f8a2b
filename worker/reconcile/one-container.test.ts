import { strict as assert } from "node:assert";
import { NebulaError } from "../../common/errors/nebula-error.ts";
import { perServer } from "../../common/testing/config-builder.ts";
import { HANGS, type Trouble } from "../runtime/simulated/troubles.ts";
import { Rig } from "../testing/rig.ts";

const SECOND = 1000;
const MINUTE = 60 * SECOND;

/** The app of a container, by the name that it was made under. */
function appOf(rig: Rig, target: string): string {
  const name = rig.containers.find(({ id }) => id === target)?.name ?? target;
  return name.split("-")[0] ?? "";
}

/** Gives calls of one app's containers trouble. */
function trouble(rig: Rig, methods: readonly string[], trouble: Trouble): void {
  rig.runtime.trouble = ({ method, target }) => (methods.includes(method) && appOf(rig, target) === "bad" ? trouble : undefined);
}

const refused = (refusal: string): Trouble => ({ afterMs: 0, refusal });

describe("one container that hangs", () => {
  for (const method of ["create", "connectNetwork", "start"] as const) {
    it(`a container that hangs at its ${method} holds its own place only, and has failed when the limit is over`, async () => {
      await using rig = new Rig();
      trouble(rig, [method], HANGS);
      const bad = { networks: ["nebula", "bridge"] };
      await rig.start({ apps: { first: {}, bad, last: {} } });
      await rig.pass(2 * SECOND, SECOND);
      assert.equal(rig.stateOf("first"), "applied");
      assert.equal(rig.stateOf("last"), "applied");
      assert.match(rig.stateOf("bad"), /^working/);
      await rig.apply({ groupRevision: 2n, apps: { first: {}, bad, last: {}, later: { revision: 2n } } });
      assert.equal(rig.stateOf("later"), "applied", "a change of another app is followed meanwhile");
      await rig.runtime.remove(rig.named("last-1").id, { force: true }, AbortSignal.timeout(1000));
      await rig.pass(2 * SECOND, SECOND);
      assert.equal(rig.stateOf("last"), "applied", "what somebody removed is made again meanwhile");
      await rig.pass(75 * SECOND, SECOND);
      assert.match(rig.stateOf("bad"), /^(failed|working).*/);
      assert.equal(rig.look?.kind, "seen", "the engine is never called unreachable");
    });
  }

  it("a container that hangs at a start holds one place of an app of many", async () => {
    await using rig = new Rig();
    rig.runtime.trouble = ({ method, target }) => {
      const name = rig.containers.find(({ id }) => id === target)?.name;
      return method === "start" && name === "web-2" ? HANGS : undefined;
    };
    await rig.start({ apps: { web: { containersPer: perServer(4) } } });
    await rig.pass(2 * SECOND, SECOND);
    assert.deepEqual(rig.shown, ["web-1 running", "web-2 created", "web-3 running", "web-4 running"]);
  });

  it("a container that hangs at an inspect is unknown: nothing is done to it, the engine does not count as unreachable, and all else converges", async () => {
    await using rig = new Rig();
    await rig.start({ apps: { bad: {}, web: {} } });
    trouble(rig, ["inspectContainer"], HANGS);
    rig.calls.length = 0;
    await rig.apply({
      groupRevision: 2n,
      apps: { bad: { revision: 2n, dockerImage: "shop:2" }, web: { revision: 2n, dockerImage: "shop:2" }, later: { revision: 2n } },
    });
    await rig.pass(15 * SECOND, SECOND);
    assert.equal(rig.look?.kind, "seen");
    assert.equal(rig.stateOf("web"), "applied");
    assert.equal(rig.stateOf("later"), "applied");
    assert.match(rig.named("web-1").image, /shop:2/);
    assert.match(rig.stateOf("bad"), /inspect/);
    assert.deepEqual(
      rig.calls.filter(({ target }) => target === rig.named("bad-1").id).map(({ method }) => method),
      ["inspectContainer"],
      "only a job inspects it",
    );
    await rig.runtime.stop(rig.named("web-1").id, 0, AbortSignal.timeout(1000));
    await rig.pass(2 * SECOND, SECOND);
    assert.equal(rig.stateOf("web"), "applied", "looks do not wait for the unknown one any more");
  });
});

describe("a change whose new container hangs at its start", () => {
  it("a change whose new container hangs at its start has failed after a minute, and has its old container back once the engine has given up", async () => {
    await using rig = new Rig();
    await rig.start({ apps: { web: {} } });
    const isNew = (target: string) => rig.containers.some(({ id, image }) => id === target && image.endsWith("shop:2"));
    rig.runtime.trouble = ({ method, target }) =>
      method === "start" && isNew(target) ? { afterMs: 130_000, refusal: "connection timed out" } : undefined;
    await rig.apply({ groupRevision: 2n, apps: { web: { revision: 2n, dockerImage: "shop:2" } } });
    await rig.pass(59 * SECOND, SECOND);
    assert.equal(rig.stateOf("web"), "working: start");
    const states = new Set<string>();
    for (let second = 0; second < 4 * 60; second++) {
      await rig.pass(SECOND);
      if (second > 10) states.add(rig.stateOf("web").replace(/inspect: .*|start: .*/, "..."));
    }
    assert.deepEqual([...states], ["failed: ..."]);
    assert.deepEqual(
      rig.containers.filter(({ phase }) => phase === "running").map(({ image }) => image.split(":").at(-1)),
      ["1"],
    );
  });

  it("a change whose new container hangs at its start runs, and its old one goes, where the start takes effect after the worker has given up", async () => {
    await using rig = new Rig();
    await rig.start({ apps: { web: {} } });
    const isNew = (target: string) => rig.containers.some(({ id, image }) => id === target && image.endsWith("shop:2"));
    rig.runtime.trouble = ({ method, target }) => (method === "start" && isNew(target) ? { afterMs: 90_000, refusal: undefined } : undefined);
    await rig.apply({ groupRevision: 2n, apps: { web: { revision: 2n, dockerImage: "shop:2" } } });
    await rig.pass(4 * MINUTE, SECOND);
    assert.deepEqual(rig.shown, ["web-1 running"]);
    assert.match(rig.named("web-1").image, /shop:2/);
    assert.equal(rig.stateOf("web"), "applied");
  });
});

describe("a rolling restart with a container that cannot be inspected", () => {
  it("a rolling restart replaces the others, and a container that cannot be inspected once it can", async () => {
    await using rig = new Rig();
    const web = (revision: bigint, dockerImage: string) => ({
      groupRevision: revision,
      apps: { web: { revision, dockerImage, rollingRestart: true, containersPer: perServer(3) } },
    });
    await rig.start(web(1n, "shop:1"));
    await rig.pass(MINUTE, SECOND);
    const { id } = rig.named("web-1");
    rig.runtime.trouble = ({ method, target }) =>
      method === "inspectContainer" && target === id ? { afterMs: 0, refusal: "layer does not exist" } : undefined;
    await rig.apply(web(2n, "shop:2"));
    await rig.pass(3 * MINUTE, SECOND);
    const images = () => ["web-1", "web-2", "web-3"].map((name) => rig.named(name).image.split(":").at(-1));
    assert.deepEqual(images(), ["1", "2", "2"]);
    assert.deepEqual(rig.shown, ["web-1 running", "web-2 running", "web-3 running"]);
    rig.runtime.trouble = undefined;
    await rig.pass(12 * MINUTE, SECOND);
    assert.deepEqual(images(), ["2", "2", "2"]);
    assert.equal(rig.stateOf("web"), "applied");
  });
});

describe("one container that the engine answers 500 for", () => {
  it("a container whose inspect answers 500 is unknown until an inspect succeeds, and then follows its config", async () => {
    await using rig = new Rig();
    await rig.start({ apps: { bad: {}, web: {} } });
    trouble(rig, ["inspectContainer"], refused("layer does not exist"));
    await rig.apply({ groupRevision: 2n, apps: { bad: { revision: 2n, dockerImage: "shop:2" }, web: { revision: 2n, dockerImage: "shop:2" } } });
    assert.equal(rig.stateOf("web"), "applied");
    assert.match(rig.named("bad-1").image, /shop:1/);
    rig.calls.length = 0;
    await rig.pass(10 * MINUTE, SECOND);
    assert.match(rig.named("bad-1").image, /shop:1/);
    const tries = rig.methods("inspectContainer").length;
    assert.ok(tries >= 4 && tries <= 12, `${tries} tries within 10 minutes`);
    rig.runtime.trouble = undefined;
    await rig.pass(10 * MINUTE, SECOND);
    assert.equal(rig.stateOf("bad"), "applied");
    assert.match(rig.named("bad-1").image, /shop:2/);
  });

  it("a container whose inspect answers 500 is inspected again, and then removed, where its app was deleted meanwhile", async () => {
    await using rig = new Rig();
    await rig.start({ apps: { bad: {}, web: {} } });
    trouble(rig, ["inspectContainer"], refused("layer does not exist"));
    await rig.apply({ groupRevision: 2n, apps: { bad: undefined, web: {} } });
    await rig.pass(MINUTE, SECOND);
    assert.equal(rig.stateOf("bad"), "failed: inspect: layer does not exist");
    rig.runtime.trouble = undefined;
    await rig.pass(10 * MINUTE, SECOND);
    assert.deepEqual(rig.shown, ["web-1 running"]);
    assert.equal(rig.stateOf("bad"), "applied");
  });

  for (const [words, status] of [
    ["failed to create endpoint", 500],
    ["Conflict", 409],
    ["daemon is shutting down a plugin", 503],
  ] as const) {
    it(`a container whose start answers ${status} fails its app with these words, and no other`, async () => {
      await using rig = new Rig();
      trouble(rig, ["start"], refused(words));
      await rig.start({ apps: { first: {}, bad: {}, last: {} } });
      assert.equal(rig.stateOf("bad"), `failed: start: ${words}`);
      assert.equal(rig.stateOf("first"), "applied");
      assert.equal(rig.stateOf("last"), "applied");
      rig.runtime.trouble = undefined;
      await rig.pass(2 * MINUTE, SECOND);
      assert.equal(rig.stateOf("bad"), "applied");
    });
  }
});

describe("a start whose connection is lost", () => {
  /** Loses the connection of the first `losses` starts. @param isAway whether the engine goes down with it */
  async function lost(losses: number, isAway: boolean): Promise<string[]> {
    await using rig = new Rig();
    let left = losses;
    rig.runtime.before = (call) => {
      rig.calls.push(call);
      if (call.method !== "start" || left <= 0) return;
      left--;
      if (isAway) rig.runtime.shutDown();
      throw new NebulaError("unavailable", "socket hang up");
    };
    await rig.start({ apps: { web: {} } });
    const states = rig.look?.kind === "seen" ? [rig.stateOf("web")] : [];
    for (let second = 0; second < 60 && states.at(-1) !== "applied"; second++) {
      await rig.pass(SECOND);
      rig.runtime.boot();
      await rig.pass(SECOND);
      if (rig.look?.kind === "seen") states.push(rig.stateOf("web"));
    }
    return [...new Set(states)];
  }

  it("a start whose connection is lost is made again at once where the engine is reachable, and has failed the second time", async () => {
    assert.deepEqual(await lost(1, false), ["applied"]);
    assert.deepEqual(await lost(2, false), ["failed: start: socket hang up", "applied"]);
  });

  it("a start whose connection is lost is not a failure of the app where the engine was unreachable, at any number of times", async () => {
    const states = await lost(4, true);
    assert.equal(states.at(-1), "applied");
    assert.ok(
      states.every((state) => !state.startsWith("failed")),
      states.join(", "),
    );
  });
});

describe("a container that a job is about", () => {
  it("a container that is being stopped is not inspected by looks: the engine holds its lock", async () => {
    await using rig = new Rig({ behaviour: () => ({ stopMs: 8000 }) });
    await rig.start({ apps: { web: {}, db: {} } });
    const id = rig.named("web-1").id;
    await rig.apply({ groupRevision: 2n, apps: { web: undefined, db: {} } });
    let inspects = 0;
    rig.runtime.trouble = ({ method, target }) => {
      if (method === "inspectContainer" && target === id) inspects++;
      return undefined;
    };
    await rig.runtime.remove(rig.named("db-1").id, { force: true }, AbortSignal.timeout(1000));
    await rig.pass(5 * SECOND, SECOND);
    assert.equal(rig.stateOf("db"), "applied", "looks were made meanwhile");
    assert.equal(inspects, 0);
    await rig.pass(5 * SECOND, SECOND);
    assert.deepEqual(rig.shown, ["db-1 running"]);
  });
});
