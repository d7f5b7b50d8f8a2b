import { strict as assert } from "node:assert";
import { bareSpec } from "../../common/testing/bare-spec.ts";
import { LABEL } from "../observed/labels.ts";
import { Rig } from "../testing/rig.ts";

const MINUTE = 60_000;
const signal = new AbortController().signal;

function labelsOf(boot: string, app: string) {
  return {
    [LABEL.orchestrator]: "nebula",
    [LABEL.instance]: "main",
    [LABEL.containerType]: "app",
    [LABEL.appName]: app,
    [LABEL.index]: "1",
    [LABEL.spec]: "1:other",
    [LABEL.boot]: boot,
    [LABEL.cluster]: "c1.1",
  };
}

async function byAnother(rig: Rig, name: string): Promise<string> {
  const id = await rig.runtime.create({ name, spec: bareSpec("shop:1"), labels: labelsOf("another", name) }, signal);
  await rig.runtime.start(id, signal);
  return id;
}

describe("a second worker of the same instance", () => {
  it("a second worker of the same instance makes this one do nothing for 5 minutes after each new container of the other, and say so", async () => {
    await using rig = new Rig();
    await rig.start({ apps: { web: {} } });
    const first = await byAnother(rig, "theirs");
    await rig.settle();
    assert.deepEqual(rig.problems, ["second_worker"]);
    await rig.runtime.remove(rig.named("web-1").id, { force: true }, signal);
    await rig.pass(4 * MINUTE);
    await byAnother(rig, "theirs-too");
    await rig.pass(4 * MINUTE);
    assert.deepEqual(rig.shown, ["theirs running", "theirs-too running"], "the second sighting made it 5 minutes more");
    await rig.pass(MINUTE);
    assert.deepEqual(rig.shown, ["web-1 running"]);
    assert.deepEqual(rig.problems, []);
    assert.ok(!rig.containers.some(({ id }) => id === first));
  });

  it("a second worker does not count where its containers existed before this one's start", async () => {
    await using rig = new Rig();
    await byAnother(rig, "theirs");
    await rig.start({ apps: { web: {} } });
    assert.deepEqual(rig.shown, ["web-1 running"]);
    assert.deepEqual(rig.problems, []);
  });

  it("a second worker does not count where an earlier worker left the create in flight, for any duration of it at the engine", async () => {
    await using rig = new Rig();
    const gate = Promise.withResolvers<void>();
    const record = rig.runtime.before;
    rig.runtime.before = async (call) => {
      await record?.(call);
      if (call.method === "create" && call.target === "web-1") await gate.promise;
    };
    const slow = byAnother(rig, "web-1");
    await rig.pass(1000);
    await rig.start({ apps: { db: {} } });
    await rig.pass(MINUTE);
    gate.resolve();
    await slow;
    await rig.settle();
    assert.deepEqual(rig.problems, []);
    await rig.pass(1000);
    assert.deepEqual(rig.shown, ["db-1 running"], "its container was this device's own to remove");
  });

  it("a second worker counts also after the machine's clock was set back", async () => {
    await using rig = new Rig();
    await rig.start({ apps: { web: {} } });
    await rig.pass(1000);
    rig.clock.setWall(rig.clock.now() - 60 * MINUTE);
    await byAnother(rig, "theirs");
    await rig.settle();
    assert.deepEqual(rig.problems, ["second_worker"]);
  });

  it("a worker of another instance is not a second worker, and is ignored", async () => {
    await using rig = new Rig();
    await rig.start({ apps: { web: {} } });
    const id = await rig.runtime.create(
      { name: "demo-web-1", spec: bareSpec("shop:1"), labels: { ...labelsOf("another", "web"), [LABEL.instance]: "demo" } },
      signal,
    );
    await rig.settle();
    assert.deepEqual(rig.problems, []);
    assert.ok(rig.containers.some((container) => container.id === id));
  });

  it("two workers of an instance replace no container twice within 5 minutes", async () => {
    await using one = new Rig();
    const apps = (value: string) => ({ apps: { web: { envVars: { VALUE: value } } } });
    await one.start(apps("one"));
    // The other worker is another reconciler on the same engine, which follows another group.
    await using two = new Rig({ sharedWith: one, bootPrefix: "other" });
    await two.start(apps("two"));
    const replacedAt: number[] = [];
    let id = one.named("web-1").id;
    for (let second = 0; second < 60 * 60; second += 10) {
      await one.pass(10_000);
      const now = one.containers.find(({ phase }) => phase === "running")?.id;
      if (now !== undefined && now !== id) {
        id = now;
        replacedAt.push(second);
      }
    }
    const gaps = replacedAt.slice(1).map((at, i) => at - (replacedAt[i] ?? 0));
    assert.ok(replacedAt.length >= 5, `they go on: ${replacedAt}`);
    assert.ok(
      gaps.every((gap) => gap >= 290),
      `gaps of ${gaps} seconds`,
    );
  });
});
