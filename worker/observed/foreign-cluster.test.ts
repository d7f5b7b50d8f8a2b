import { strict as assert } from "node:assert";
import fc from "fast-check";
import { bareSpec } from "../../common/testing/bare-spec.ts";
import { foreignClusterProblems } from "../plan/held-back.ts";
import { arbitraryConfigs, arbitraryLeftovers, place } from "../testing/arbitrary-world.ts";
import { Rig, type RigOptions } from "../testing/rig.ts";
import { World } from "../testing/world.ts";
import { appLabels, LABEL } from "./labels.ts";

const signal = new AbortController().signal;
const MINUTE = 60_000;

const of = (id: string) => ({ cluster: { id, epoch: 1n } });

/** A device on which the worker of cluster c2 runs web and db, and then leaves. */
async function deviceOfAnotherCluster(options: RigOptions = {}) {
  const rig = new Rig(options);
  await rig.start({ ...of("c2"), apps: { web: {}, db: {} } });
  await rig.kill();
  return { rig, ids: rig.containers.map(({ id }) => id).sort() };
}

const message = (rig: Rig) => (rig.look?.kind === "seen" ? rig.look.plan.states.problems.map((problem) => problem.message).join() : "");

describe("containers of a cluster that the data folder never followed", () => {
  it("containers of a foreign cluster are left alone, and reported with their names and the setting", async () => {
    const { rig, ids } = await deviceOfAnotherCluster();
    await using _ = rig;
    await rig.start({ apps: { shop: {} } }, { keep: false });
    await rig.pass(30 * MINUTE, MINUTE);
    assert.deepEqual(rig.shown, ["db-1 running", "shop-1 running", "web-1 running"]);
    assert.ok(ids.every((id) => rig.containers.some((container) => container.id === id)));
    assert.deepEqual(rig.problems, ["foreign_cluster"]);
    assert.equal(
      message(rig),
      "containers db-1, web-1 are of cluster c2, which this data folder never followed, and are left alone; to take them over, start the worker with NEBULA_TAKE_OVER=c2",
    );
  });

  it("containers of a foreign cluster hold their names: an app that needs one fails with the reason, and the others run", async () => {
    const { rig, ids } = await deviceOfAnotherCluster();
    await using _ = rig;
    await rig.start({ apps: { web: { dockerImage: "shop:2" }, shop: {} } }, { keep: false });
    assert.match(rig.stateOf("web"), /^failed: name: the name web-1 is taken/);
    assert.equal(rig.stateOf("shop"), "applied");
    assert.ok(ids.every((id) => rig.containers.some((container) => container.id === id)));
  });

  it("containers of a foreign cluster are owned once their cluster is taken over", async () => {
    const { rig, ids } = await deviceOfAnotherCluster({ identity: { followed: new Set(["c2"]) } });
    await using _ = rig;
    await rig.start({ apps: { web: { dockerImage: "shop:2" } } }, { keep: false });
    assert.deepEqual(rig.shown, ["web-1 running"]);
    assert.ok(!ids.includes(rig.named("web-1").id));
    assert.deepEqual(rig.problems, []);
  });

  it("containers are owned where the device followed their cluster before it was pointed at another server", async () => {
    const { rig } = await deviceOfAnotherCluster();
    await using _ = rig;
    await rig.start({ apps: { web: { dockerImage: "shop:2" } } });
    assert.deepEqual(rig.shown, ["web-1 running"]);
    assert.deepEqual(rig.problems, []);
  });

  it("containers are owned from the first config of their cluster on, by a worker that lost its data folder and looked before it came", async () => {
    const { rig, ids } = await deviceOfAnotherCluster();
    await using _ = rig;
    await rig.start(undefined, { keep: false });
    await rig.pass(MINUTE);
    await rig.apply({ ...of("c2"), apps: { web: {} } });
    assert.deepEqual(rig.problems, []);
    assert.deepEqual(rig.shown, ["web-1 running"]);
    assert.ok(ids.includes(rig.named("web-1").id));
  });

  it("containers of a foreign cluster do not count as a second worker while the worker of that cluster makes more of them", async () => {
    const { rig } = await deviceOfAnotherCluster();
    await using _ = rig;
    await rig.start({ apps: { shop: {} } }, { keep: false });
    await using other = new Rig({ sharedWith: rig, bootPrefix: "other" });
    await other.start({ ...of("c2"), apps: { web: {}, db: {}, api: {} } });
    await rig.pass(10 * MINUTE, MINUTE);
    assert.deepEqual(rig.problems, ["foreign_cluster"]);
    assert.deepEqual(other.problems, ["foreign_cluster"]);
    assert.deepEqual(rig.shown, ["api-1 running", "db-1 running", "shop-1 running", "web-1 running"]);
  });

  for (const [what, label] of [
    ["is missing", undefined],
    ["is malformed", "c1"],
  ] as const) {
    it(`containers whose label of a cluster ${what} count as foreign`, async () => {
      await using rig = new Rig();
      const labels: Record<string, string> = {
        ...appLabels("web", 1, 0n, { instance: "main", boot: "b", ...of("c1"), revision: 1n, hash: "1:f", isStale: false }),
      };
      if (label === undefined) delete labels[LABEL.cluster];
      else labels[LABEL.cluster] = label;
      const id = await rig.runtime.create({ name: "odd", spec: bareSpec("shop:1"), labels }, signal);
      await rig.start({ apps: { web: {} } });
      assert.deepEqual(rig.shown, ["odd created", "web-1 running"]);
      assert.equal(rig.named("odd").id, id);
      assert.match(message(rig), /^containers odd name no cluster, and are left alone; remove them by hand$/);
    });
  }

  it("containers of a foreign cluster are counted where they are many, so that a message stays short", () => {
    const foreignCluster = Array.from({ length: 1000 }, (_, i) => {
      const container = { ...CONTAINER, name: `web-${1000 + i}` };
      return { container, clusterId: `c${i}` };
    });
    const [problem] = foreignClusterProblems({ foreignCluster });
    assert.match(problem?.message ?? "", /^containers web-1000, .* and 995 more are of cluster c0, /);
    assert.ok((problem?.message.length ?? 0) < 400);
  });

  it("containers of a foreign cluster are never touched, with any config and beside any other container", async () => {
    await fc.assert(
      fc.asyncProperty(arbitraryConfigs({ ports: true }), arbitraryLeftovers, async (configs, leftovers) => {
        const world = new World();
        await place(world.runtime, leftovers, "c2");
        const theirs = world.containers.filter(({ labels }) => labels[LABEL.cluster] !== undefined);
        for (const config of configs) {
          await world.apply(config);
          const { states } = await world.converge();
          assert.deepEqual(states.problems.filter(({ code }) => code === "foreign_cluster").length, theirs.length > 0 ? 1 : 0);
        }
        assert.deepEqual(world.violations, []);
        assert.deepEqual(
          world.containers.filter(({ labels }) => labels[LABEL.cluster]?.startsWith("c2")),
          theirs,
        );
      }),
      { numRuns: 100 },
    );
  });
});

const CONTAINER = {
  id: "0",
  name: "",
  labels: {},
  phase: "running",
  health: "none",
  image: "shop:1",
  imageId: "sha256:0",
  hostPorts: [],
  networks: [],
  networkIds: [],
  createdAt: 0,
  startedAt: undefined,
  finishedAt: undefined,
  exitCode: undefined,
  restartCount: 0,
} as const;
