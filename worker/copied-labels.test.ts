import { strict as assert } from "node:assert";
import fc from "fast-check";
import { appLabels, LABEL, withoutInherited } from "./labels.ts";
import type { ContainerSpec } from "./runtime/container-runtime.ts";
import { bareSpec } from "./runtime/contract-fixture.ts";
import { arbitraryConfigs } from "./testing/arbitrary-world.ts";
import { perServer } from "./testing/config-builder.ts";
import { Rig } from "./testing/rig.ts";
import { World } from "./testing/world.ts";

const signal = new AbortController().signal;
const MINUTE = 60_000;

/** An image of a container, as `docker commit` makes it: with all of its labels. */
function commit(rig: Rig, name: string): void {
  rig.runtime.images.add("docker.io/library/copy:1", 0, rig.named(name).labels);
}

/** A container by hand under the labels of another one, in its place. */
async function remakeByHand(rig: Rig, name: string, spec: Partial<ContainerSpec>): Promise<string> {
  const { id, labels } = rig.named(name);
  await rig.runtime.remove(id, { force: true }, signal);
  const plain = { ...bareSpec("shop:1"), restartPolicy: "unless-stopped" as const, networks: ["nebula", "bridge"] };
  const made = await rig.runtime.create({ name, spec: { ...plain, ...spec }, labels }, signal);
  await rig.runtime.start(made, signal);
  return made;
}

describe("a copy of a managed container (docker commit)", () => {
  it("is never touched, though it has all labels of the container, and its image counts for none of the app", async () => {
    await using rig = new Rig();
    await rig.start({ apps: { web: {} } });
    commit(rig, "web-1");
    const copy = await rig.runtime.create({ name: "copy", spec: { ...bareSpec("copy:1"), networks: ["bridge"] }, labels: {} }, signal);
    await rig.runtime.start(copy, signal);
    assert.equal(rig.named("copy").labels[LABEL.spec], rig.named("web-1").labels[LABEL.spec], "the engine shows the labels of its image");
    await rig.pass(10 * MINUTE, MINUTE);
    assert.deepEqual(rig.shown, ["copy running", "web-1 running"]);
    assert.deepEqual(rig.problems, [], "nor is it a second worker's, or of a foreign cluster");
    await rig.apply({ apps: { web: undefined } });
    await rig.start({ apps: {} }, { keep: false });
    assert.deepEqual(rig.shown, ["copy running"]);
    assert.equal(rig.named("copy").id, copy);
  });

  it("may be the image of an app, whose containers are owned as all others are", async () => {
    await using rig = new Rig();
    await rig.start({ apps: { web: {} } });
    commit(rig, "web-1");
    await rig.apply({ apps: { web: { revision: 2n, dockerImage: "copy:1" }, db: { dockerImage: "copy:1" } } });
    assert.deepEqual(rig.shown, ["db-1 running", "web-1 running"]);
    await rig.apply({ apps: {} });
    assert.deepEqual(rig.shown, []);
  });

  it("is told by labels: all of Nebula's equal the image's, or none counts as inherited", () => {
    const ours = appLabels("web", 1, 0n, {
      instance: "main",
      boot: "b",
      cluster: { id: "c1", epoch: 1n },
      revision: 1n,
      hash: "1:f",
      isStale: false,
    });
    assert.deepEqual(withoutInherited({ ...ours, team: "shop" }, { ...ours, more: "" }), { team: "shop" });
    const changed = { ...ours, [LABEL.spec]: "1:e" };
    assert.equal(withoutInherited(changed, ours), changed);
    assert.equal(withoutInherited(ours, {}), ours);
    const plain = { team: "shop" };
    assert.deepEqual(withoutInherited(plain, plain), plain);
  });
});

describe("a container made by hand under copied labels", () => {
  const differences: Readonly<Record<string, Partial<ContainerSpec>>> = {
    "another image": { image: "shop:2" },
    "a variable more": { env: { MORE: "1" } },
    "a port more": { ports: [{ hostPort: 81, containerPort: 81, protocol: "tcp" }] },
    "a mount": { volumes: ["/data:/data"] },
    "more rights": { privileged: true },
    "no restart policy": { restartPolicy: "no" },
    "host networking": { networks: ["host"] },
  };
  for (const [what, spec] of Object.entries(differences)) {
    it(`is replaced where it has ${what}`, async () => {
      await using rig = new Rig();
      await rig.start({ apps: { web: {} } });
      await rig.kill();
      const forged = await remakeByHand(rig, "web-1", spec);
      await rig.start({ apps: { web: {} } });
      assert.deepEqual(rig.shown, ["web-1 running"]);
      assert.notEqual(rig.named("web-1").id, forged);
      assert.equal(rig.stateOf("web"), "applied");
    });
  }

  it("stays where it is what its label names, and is inspected once, also after a restart of the worker", async () => {
    await using rig = new Rig();
    await rig.start({ apps: { web: {} } });
    await rig.kill();
    const made = await remakeByHand(rig, "web-1", {});
    await rig.start({ apps: { web: {} } });
    assert.equal(rig.named("web-1").id, made);
    assert.equal(rig.methods("inspectContainer").length, 1);
    rig.calls.length = 0;
    await rig.start({ apps: { web: {} } });
    await rig.pass(10 * MINUTE);
    assert.equal(rig.named("web-1").id, made);
    assert.deepEqual(rig.methods("inspectContainer"), []);
  });
});

describe("the upgrade from a worker that trusted labels alone", () => {
  it("re-creates nothing, and inspects each container once", async () => {
    await using rig = new Rig();
    const apps = {
      web: { containersPer: perServer(3), startingPorts: [{ hostPort: 8000, containerPort: 80 }], envVars: { A: "1" } },
      db: { networks: ["none"], volumes: ["data:/data:rw", "/etc:/etc/host:ro"] },
      api: { networks: ["host"], devices: ["/dev/null"], privileged: true, user: "1000", command: ["serve"] },
    };
    await rig.start({ apps });
    const before = rig.containers.map(({ id, startedAt }) => ({ id, startedAt }));
    assert.equal(before.length, 5);
    await rig.kill();
    assert.ok(rig.kept);
    rig.kept = { ...rig.kept, adopted: new Map() }; // what an older worker kept
    rig.calls.length = 0;
    await rig.start({ apps });
    await rig.pass(10 * MINUTE, MINUTE);
    assert.deepEqual(
      rig.containers.map(({ id, startedAt }) => ({ id, startedAt })),
      before,
    );
    assert.equal(rig.methods("inspectContainer").length, 5);
    assert.equal(rig.stateOf("web"), "applied");
  });

  it("inspects no container that this data folder knows as its own work", async () => {
    await using rig = new Rig();
    await rig.start({ apps: { web: {} } });
    await rig.start({ apps: { web: {} } });
    assert.deepEqual(rig.methods("inspectContainer"), []);
    assert.equal(rig.kept?.adopted.get(rig.named("web-1").id), rig.named("web-1").labels[LABEL.spec]);
    await rig.apply({ apps: {} });
    assert.deepEqual([...(rig.kept?.adopted ?? [])], [], "a container that is gone is forgotten");
  });

  it("re-creates nothing, with any config", async () => {
    await fc.assert(
      fc.asyncProperty(arbitraryConfigs({ ports: true }), async (configs) => {
        const world = new World();
        for (const config of configs) {
          await world.apply(config);
          await world.converge();
          const before = world.containers.map(({ id }) => id).sort();
          world.memory = { ...world.memory, adopted: new Map() };
          await world.converge();
          assert.deepEqual(world.containers.map(({ id }) => id).sort(), before);
        }
      }),
      { numRuns: 100 },
    );
  });
});
