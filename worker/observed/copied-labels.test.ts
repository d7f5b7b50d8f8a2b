import { strict as assert } from "node:assert";
import fc from "fast-check";
import type { ContainerSpec } from "../../common/desired/container-spec.ts";
import { bareSpec } from "../../common/testing/bare-spec.ts";
import { perServer } from "../../common/testing/config-builder.ts";
import { arbitraryConfigs } from "../testing/arbitrary-world.ts";
import { Rig } from "../testing/rig.ts";
import { World } from "../testing/world.ts";
import { appLabels, LABEL, withoutInherited } from "./labels.ts";

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
  it("a copy of a managed container is never touched, though it has all labels of the container, and its image counts for none of the app", async () => {
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

  it("a copy of a managed container is not touched while its image cannot be inspected, and still not once it can", async () => {
    await using rig = new Rig();
    await rig.start({ apps: { web: {} } });
    commit(rig, "web-1");
    const copy = await rig.runtime.create({ name: "copy", spec: { ...bareSpec("copy:1"), networks: ["bridge"] }, labels: {} }, signal);
    await rig.runtime.start(copy, signal);
    const { imageId } = rig.named("copy");
    rig.runtime.images.unlist("docker.io/library/copy:1"); // no list of images tells its labels any more
    rig.runtime.trouble = ({ method, target }) =>
      method === "inspectImage" && target === imageId ? { afterMs: 0, refusal: "layer does not exist" } : undefined;
    rig.calls.length = 0;
    await rig.start({ apps: { web: undefined } });
    await rig.pass(5 * MINUTE, 1000);
    const touched = () => rig.calls.filter(({ method, target }) => target === copy && method !== "inspectContainer");
    assert.deepEqual(touched(), []);
    assert.deepEqual(rig.shown, ["copy running"]);
    const reads = rig.methods("inspectImage").length;
    assert.ok(reads >= 3 && reads <= 40, `${reads} times`);
    rig.runtime.trouble = undefined;
    await rig.pass(15 * MINUTE, 1000);
    assert.deepEqual([touched(), rig.shown, rig.problems], [[], ["copy running"], []]);
  });

  it("a copy of a managed container may be the image of an app, whose containers are owned as all others are", async () => {
    await using rig = new Rig();
    await rig.start({ apps: { web: {} } });
    commit(rig, "web-1");
    await rig.apply({ apps: { web: { revision: 2n, dockerImage: "copy:1" }, db: { dockerImage: "copy:1" } } });
    assert.deepEqual(rig.shown, ["db-1 running", "web-1 running"]);
    await rig.apply({ apps: {} });
    assert.deepEqual(rig.shown, []);
  });

  it("a copy is recognised by labels: all of Nebula's equal the image's, or none counts as inherited", () => {
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
    it(`a container made by hand under copied labels is replaced where it has ${what}`, async () => {
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

  it("a container made by hand stays where it equals its label, and is inspected once, also after a restart of the worker", async () => {
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
  it("an upgrade from a worker that trusted labels alone re-creates nothing, and inspects each container once", async () => {
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

  it("an upgrade inspects no container that this data folder knows as its own work", async () => {
    await using rig = new Rig();
    await rig.start({ apps: { web: {} } });
    await rig.start({ apps: { web: {} } });
    assert.deepEqual(rig.methods("inspectContainer"), []);
    assert.equal(rig.kept?.adopted.get(rig.named("web-1").id), rig.named("web-1").labels[LABEL.spec]);
    await rig.apply({ apps: {} });
    assert.deepEqual([...(rig.kept?.adopted ?? [])], [], "a container that is gone is forgotten");
  });

  it("an upgrade re-creates nothing, with any config", async () => {
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
