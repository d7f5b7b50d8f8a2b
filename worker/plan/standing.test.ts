import { strict as assert } from "node:assert";
import { NebulaError } from "../../common/errors/nebula-error.ts";
import { type ConfigInit, perServer } from "../../common/testing/config-builder.ts";
import type { RuntimeCall } from "../runtime/simulated/simulated.ts";
import { Rig, type RigOptions } from "../testing/rig.ts";

const SECOND = 1000;
const MINUTE = 60 * SECOND;
const signal = new AbortController().signal;

/** A rig on whose engine calls of one method are refused, as long as `isRefused` is true. */
class RefusingRig extends Rig {
  isRefused = true;

  constructor(method: RuntimeCall["method"], options?: RigOptions, isAbout: (call: RuntimeCall, rig: Rig) => boolean = () => true) {
    super(options);
    this.runtime.trouble = (call) =>
      this.isRefused && call.method === method && isAbout(call, this) ? { afterMs: 0, refusal: `no ${method}` } : undefined;
  }
}

type Case = Readonly<{ step: string; method: RuntimeCall["method"]; before: ConfigInit; after: ConfigInit; act?: (rig: Rig) => Promise<void> }>;

const web = (revision: bigint, more: object = {}) => ({ groupRevision: revision, apps: { web: { revision, ...more } } });

/** Steps that fail while their app would be working or applied. */
const CASES: readonly Case[] = [
  { step: "stop", method: "stop", before: web(1n), after: web(2n, { dockerImage: "shop:2" }) },
  { step: "stop", method: "stop", before: web(1n), after: { groupRevision: 2n, apps: { web: undefined } } },
  { step: "remove", method: "remove", before: web(1n), after: { groupRevision: 2n, apps: { web: undefined } } },
  { step: "remove", method: "remove", before: web(1n), after: web(2n, { dockerImage: "shop:2" }) },
  {
    step: "rename",
    method: "rename",
    before: web(1n),
    after: web(1n),
    act: async (rig) => {
      const trouble = rig.runtime.trouble;
      rig.runtime.trouble = undefined;
      await rig.runtime.rename(rig.named("web-1").id, "elsewhere", signal);
      rig.runtime.trouble = trouble;
    },
  },
  {
    step: "network",
    method: "createNetwork",
    before: { apps: {} },
    after: web(2n),
  },
];

describe("a step that keeps failing", () => {
  for (const { step, method, before, after, act } of CASES) {
    it(`a failing step (${step}, ${JSON.stringify(Object.keys(after.apps ?? {}))} at revision ${after.groupRevision ?? 1n}) fails its app by the third try or after 30 s, with the reason, until it succeeds`, async () => {
      await using rig = new RefusingRig(method);
      await rig.start(before);
      await act?.(rig);
      await rig.apply(after);
      assert.match(rig.stateOf("web"), /^(working|applied)/, "the first failure may pass");
      await rig.pass(31 * SECOND, SECOND);
      assert.equal(rig.stateOf("web"), `failed: ${step}: no ${method}`);
      const seen = new Set<string>();
      for (let second = 0; second < 20 * 60; second += 5) {
        await rig.pass(5 * SECOND);
        seen.add(rig.stateOf("web"));
      }
      assert.deepEqual([...seen], [`failed: ${step}: no ${method}`], "it is reported through every try");
      rig.isRefused = false;
      await rig.pass(11 * MINUTE, SECOND);
      assert.equal(rig.stateOf("web"), "applied");
    });
  }

  it("a failing step fails an app by a connect that does not hold, while its container runs", async () => {
    await using rig = new RefusingRig("connectNetwork", {}, (call, self) =>
      self.containers.some(({ id, phase }) => id === call.target && phase === "running"),
    );
    await rig.start({ apps: { web: { networks: ["bridge", "nebula"] } } });
    assert.equal(rig.stateOf("web"), "applied");
    const id = rig.named("web-1").id;
    rig.runtime.loseNetwork("nebula");
    await rig.pass(MINUTE, SECOND);
    assert.equal(rig.named("web-1").id, id);
    assert.equal(rig.stateOf("web"), "failed: connect: no connectNetwork");
    rig.isRefused = false;
    await rig.pass(11 * MINUTE, SECOND);
    assert.equal(rig.stateOf("web"), "applied");
  });

  it("a failing step fails an app by an inspect, and never the others", async () => {
    await using rig = new RefusingRig(
      "inspectContainer",
      {},
      (call, self) => call.target === self.containers.find(({ name }) => name === "web-1")?.id,
    );
    rig.isRefused = false;
    await rig.start({ apps: { web: {}, db: {} } });
    rig.isRefused = true;
    await rig.runtime.stop(rig.named("web-1").id, 0, signal);
    await rig.pass(31 * SECOND, SECOND);
    assert.equal(rig.stateOf("web"), "failed: inspect: no inspectContainer");
    assert.equal(rig.stateOf("db"), "applied");
  });

  it("a failing step fails a deleted cron_job by a run that can't be removed", async () => {
    await using rig = new RefusingRig("remove", { behaviour: () => ({ exit: { code: 0, afterMs: 1000 } }) });
    await rig.start({ cronJobs: { job: { schedule: "* * * * *" } } });
    await rig.pass(2 * MINUTE, SECOND);
    await rig.apply({ groupRevision: 2n, cronJobs: { job: undefined } });
    assert.equal(rig.stateOf("job"), "working: remove");
    await rig.pass(31 * SECOND, SECOND);
    assert.equal(rig.stateOf("job"), "failed: remove: no remove");
  });

  it("a failing step fails nothing any more once it is not wanted", async () => {
    await using rig = new RefusingRig("stop");
    await rig.start(web(1n));
    await rig.apply({ groupRevision: 2n, apps: { web: undefined }, tombstoneRevision: 2n });
    await rig.pass(MINUTE, SECOND);
    assert.match(rig.stateOf("web"), /^failed: stop/);
    await rig.apply(web(3n));
    assert.equal(rig.stateOf("web"), "applied");
  });

  it("a step that keeps failing fails an app whose container stays in removal for two minutes", async () => {
    await using rig = new Rig();
    await rig.start(web(1n));
    rig.runtime.stickInRemoval(rig.named("web-1").id);
    await rig.pass(MINUTE, SECOND);
    assert.equal(rig.stateOf("web"), "working: remove");
    await rig.pass(MINUTE + SECOND, SECOND);
    assert.match(rig.stateOf("web"), /^failed: remove: container web-1 has been in removal for 2 minutes/);
    rig.calls.length = 0;
    await rig.pass(10 * MINUTE, SECOND);
    assert.ok(rig.methods("listContainers").length < 30, `${rig.methods("listContainers").length} looks within 10 minutes`);
  });

  it("a step that keeps failing keeps an app failed while it is tried again", async () => {
    await using rig = new Rig({ behaviour: () => ({ startRefusal: "no such device" }) });
    await rig.start(web(1n));
    const seen = new Set<string>();
    const { runtime } = rig;
    runtime.before = (call) => {
      rig.calls.push(call);
      seen.add(rig.stateOf("web"));
    };
    await rig.pass(10 * MINUTE, SECOND);
    assert.deepEqual([...seen], ["failed: start: no such device"]);
    assert.ok(rig.methods("start").length >= 10 && rig.methods("start").length <= 20, `${rig.methods("start").length} tries in 10 minutes`);
  });
});

describe("a new container that cannot run yet", () => {
  const running = (rig: Rig) => rig.containers.filter(({ phase }) => phase === "running").map(({ image }) => image.split(":").at(-1));

  it("an old container runs while a network of the new one cannot be connected, also where it was stopped by hand", async () => {
    await using rig = new RefusingRig("connectNetwork");
    rig.isRefused = false;
    await rig.start({ apps: { web: {} } });
    rig.isRefused = true;
    await rig.apply({ groupRevision: 2n, apps: { web: { revision: 2n, dockerImage: "shop:2", networks: ["nebula", "bridge"] } } });
    assert.deepEqual(running(rig), ["1"]);
    assert.equal(rig.stateOf("web"), "failed: connect: no connectNetwork");
    const old = rig.containers.find(({ phase }) => phase === "running");
    await rig.runtime.stop(old?.id ?? "", 0, signal);
    await rig.settle();
    assert.deepEqual(running(rig), ["1"]);
    rig.calls.length = 0;
    await rig.pass(20 * MINUTE, SECOND);
    assert.deepEqual(running(rig), ["1"]);
    const tries = rig.methods("connectNetwork").length;
    assert.ok(tries >= 3 && tries <= 12, `${tries} tries within 20 minutes`);
    rig.isRefused = false;
    await rig.pass(11 * MINUTE, SECOND);
    assert.deepEqual(running(rig), ["2"]);
    assert.deepEqual(rig.shown, ["web-1 running"]);
  });

  it("an old container is started again where the network nebula cannot be made", async () => {
    await using rig = new RefusingRig("createNetwork");
    rig.isRefused = false;
    await rig.start({ apps: { web: { networks: ["bridge"] } } });
    await rig.runtime.stop(rig.named("web-1").id, 0, signal);
    await rig.kill();
    rig.isRefused = true;
    rig.runtime.loseNetwork("nebula");
    await rig.start({ groupRevision: 2n, apps: { web: { revision: 2n, dockerImage: "shop:2", networks: ["bridge", "nebula"] } } });
    await rig.pass(31 * SECOND, SECOND);
    assert.deepEqual(running(rig), ["1"]);
    assert.equal(rig.stateOf("web"), "failed: network: no createNetwork");
  });

  it("an old container runs again where the start of the new one is refused, and the next tries spare it: 1 minute, doubling", async () => {
    await using rig = new Rig({ behaviour: (image) => (image.includes("shop:2") ? { startRefusal: "no such device" } : {}) });
    await rig.start({ apps: { web: {} } });
    await rig.apply({ groupRevision: 2n, apps: { web: { revision: 2n, dockerImage: "shop:2" } } });
    assert.deepEqual(rig.shown, ["web-1 running"]);
    const starts = () => rig.methods("start").length;
    rig.calls.length = 0;
    await rig.pass(59 * SECOND, SECOND);
    assert.equal(starts(), 0);
    await rig.pass(2 * SECOND, SECOND);
    assert.equal(starts(), 2, "the new one, and the old one again");
    await rig.pass(10 * MINUTE, SECOND);
    assert.deepEqual(rig.shown, ["web-1 running"]);
    assert.ok(starts() <= 8, `${starts()} starts within 11 minutes`);
  });
});

describe("a start that is refused where nothing runs", () => {
  it("a start that is refused where nothing runs is retried after 5 s, doubling to a minute, and succeeds soon after its cause has passed", async () => {
    let refusal: string | undefined = "no space left on device";
    await using rig = new Rig();
    rig.runtime.trouble = ({ method }) => (method === "start" && refusal !== undefined ? { afterMs: 0, refusal } : undefined);
    await rig.start({ apps: { web: { containersPer: perServer(1) } } });
    await rig.pass(4 * SECOND, SECOND);
    assert.equal(rig.methods("start").length, 1);
    await rig.pass(2 * SECOND, SECOND);
    assert.equal(rig.methods("start").length, 2);
    await rig.pass(60 * MINUTE, SECOND);
    refusal = undefined;
    await rig.pass(61 * SECOND, SECOND);
    assert.equal(rig.stateOf("web"), "applied");
  });

  it("a start that is refused is not held against a connection that was lost with an engine that restarts", async () => {
    await using rig = new Rig();
    let isLost = true;
    rig.runtime.before = (call) => {
      rig.calls.push(call);
      if (call.method !== "start" || !isLost) return;
      isLost = false;
      throw new NebulaError("unavailable", "socket hang up");
    };
    await rig.start({ apps: { web: {} } });
    await rig.settle();
    assert.equal(rig.stateOf("web"), "applied");
  });
});
