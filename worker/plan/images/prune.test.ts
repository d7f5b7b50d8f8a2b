import { strict as assert } from "node:assert";
import { NebulaError } from "../../../common/errors/nebula-error.ts";
import { bareSpec } from "../../../common/testing/bare-spec.ts";
import type { ImageBehaviour } from "../../runtime/simulated/behaviour.ts";
import { Rig } from "../../testing/rig.ts";

const signal = new AbortController().signal;
const CHECK = { test: ["CMD", "true"], intervalMs: 1000, timeoutMs: 1000, retries: 1, startPeriodMs: 0 };

function references(rig: Rig): string[] {
  return rig.runtime.images
    .list()
    .flatMap((image) => image.references)
    .map((reference) => reference.replace("docker.io/library/", ""))
    .sort();
}

describe("a prune", () => {
  it("a prune removes images that no container uses and the config does not name, once", async () => {
    await using rig = new Rig({ images: ["shop:1", "cron:1", "stopped:1", "theirs:1", "unused:1", "unused:2"] });
    await rig.runtime.create({ name: "theirs", spec: bareSpec("theirs:1"), labels: {} }, signal);
    const config = (pruneId: bigint) => ({
      pruneId,
      apps: { web: {}, off: { dockerImage: "stopped:1", running: false } },
      cronJobs: { job: { dockerImage: "cron:1" } },
    });
    await rig.start(config(5n));
    assert.equal(references(rig).length, 6, "the first config of a group only sets the mark");
    await rig.apply(config(6n));
    assert.deepEqual(references(rig), ["cron:1", "shop:1", "stopped:1", "theirs:1"]);
    rig.runtime.images.add("docker.io/library/later:1", 0);
    await rig.pass(10 * 60_000);
    await rig.start(config(6n));
    assert.ok(references(rig).includes("later:1"), "done once, a new start included");
  });

  it("a prune is not repeated for another group or cluster, whose first config only sets the mark", async () => {
    await using rig = new Rig({ images: ["shop:1", "unused:1"] });
    await rig.start({ pruneId: 1n, apps: { web: {} } });
    await rig.apply({ pruneId: 7n, deviceGroup: "another", apps: { web: {} } });
    await rig.apply({ pruneId: 9n, cluster: { id: "c2", epoch: 1n }, apps: { web: {} } });
    assert.deepEqual(references(rig), ["shop:1", "unused:1"]);
  });

  it("a prune happens although steps wait in back-off: a full disk is why an operator prunes", async () => {
    const behaviour = (image: string): Partial<ImageBehaviour> =>
      image.includes("big") ? { pull: { kind: "fails", message: "no space left on device" } } : {};
    await using rig = new Rig({ behaviour, images: ["shop:1", "unused:1"] });
    await rig.start({ pruneId: 1n, apps: { web: {}, big: { dockerImage: "big:1" } } });
    await rig.apply({ pruneId: 2n, apps: { web: {}, big: { dockerImage: "big:1" } } });
    assert.match(rig.stateOf("big"), /^failed: pull/);
    assert.deepEqual(references(rig), ["shop:1"]);
  });

  it("a prune continues after an image that cannot be removed, and reports it", async () => {
    await using rig = new Rig({ images: ["shop:1", "unused:1", "unused:2"] });
    await rig.start({ pruneId: 1n, apps: { web: {} } });
    const stuck = rig.runtime.images.find("docker.io/library/unused:1")?.id;
    rig.runtime.before = (call) => {
      if (call.method === "removeImage" && call.target === stuck) throw new NebulaError("failed_precondition", "image has dependent child images");
    };
    await rig.apply({ pruneId: 2n, apps: { web: {} } });
    assert.deepEqual(references(rig), ["shop:1", "unused:1"]);
    assert.deepEqual(rig.problems, ["prune_failed"]);
    assert.equal(rig.kept?.pruned?.pruneId, 2n, "it is done");
  });
});

describe("images that an update replaced", () => {
  const behaviour = (image: string): Partial<ImageBehaviour> => ({
    healthcheck: CHECK,
    health: { becomes: image.includes("sick") ? "unhealthy" : "healthy", afterMs: 1000 },
  });
  const version = (n: number, image = `app:${n}`) => ({ groupRevision: BigInt(n), apps: { web: { dockerImage: image, revision: BigInt(n) } } });

  it("replaced images are removed once the new one has passed its gate, all but the newest", async () => {
    await using rig = new Rig({ behaviour, images: ["mine:1"] });
    await rig.start(version(1));
    for (const n of [2, 3]) {
      await rig.apply(version(n));
      await rig.pass(2000);
    }
    assert.deepEqual(references(rig), ["app:2", "app:3", "mine:1"], "app:2 is kept to go back to, mine:1 was not pulled by the worker");
    await rig.apply(version(4));
    assert.deepEqual(references(rig), ["app:2", "app:3", "app:4", "mine:1"], "the gate is not passed yet");
    await rig.pass(2000);
    assert.deepEqual(references(rig), ["app:3", "app:4", "mine:1"]);
    await rig.apply(version(5, "sick:1"));
    await rig.pass(60_000);
    assert.deepEqual(references(rig), ["app:3", "app:4", "mine:1", "sick:1"], "a sick one replaces nothing for good");
  });

  it("replaced images are remembered over a start of the worker, and stay up to the number of the setting", async () => {
    await using rig = new Rig({ behaviour, images: [], identity: { keepImages: 0 } });
    await rig.start(version(1));
    await rig.pass(2000);
    await rig.start(version(1));
    await rig.apply(version(2));
    await rig.pass(2000);
    assert.deepEqual(references(rig), ["app:2"]);
  });

  it("replaced images stay while another app names or uses them", async () => {
    await using rig = new Rig({ images: [], identity: { keepImages: 0 } });
    await rig.start({ apps: { web: { dockerImage: "app:1" }, twin: { dockerImage: "app:1" } } });
    await rig.apply({ apps: { web: { dockerImage: "app:2", revision: 2n }, twin: { dockerImage: "app:1" } } });
    await rig.pass(60_000, 5000);
    assert.deepEqual(references(rig), ["app:1", "app:2"]);
  });

  it("images that only lost their tag are removed as well", async () => {
    await using rig = new Rig({ images: [], identity: { keepImages: 0 } });
    await rig.start({ apps: { web: { dockerImage: "app:latest" } } });
    rig.runtime.images.moveTag("docker.io/library/app:latest");
    await rig.apply({ apps: { web: { dockerImage: "app:latest", revision: 2n, restartCount: 1n } } });
    assert.equal(rig.runtime.images.list().length, 2);
    await rig.pass(60_000, 5000);
    assert.equal(rig.runtime.images.list().length, 1);
  });

  it("the removal of replaced images waits while a config is being written to the disk, which names other images until then, and for no save that failed", async () => {
    let isSaving = true;
    await using rig = new Rig({ images: ["shop:1", "unused:1"], isSaving: () => isSaving });
    await rig.start({ apps: { web: {} } });
    await rig.apply({ pruneId: 2n, apps: { web: {} } });
    await rig.pass(10 * 60_000, 60_000);
    assert.deepEqual(rig.methods("removeImage"), []);
    assert.equal(rig.stateOf("web"), "applied");
    isSaving = false; // it ended, either way
    await rig.wake();
    assert.equal(rig.methods("removeImage").length, 1);
    assert.equal(rig.kept?.pruned?.pruneId, 2n);
  });
});

describe("what an app or cron_job that left the config had pulled", () => {
  const HOUR_MS = 60 * 60_000;
  const both = { apps: { web: { dockerImage: "web:1" }, gone: { dockerImage: "gone:1" } } };
  const without = { groupRevision: 2n, apps: { web: { dockerImage: "web:1" } } };

  it("the image of an app that left the config is removed and forgotten a day after its last container is gone, and costs no pull before", async () => {
    await using rig = new Rig({ images: ["mine:1"] });
    await rig.start({ apps: { ...both.apps, kept: { dockerImage: "mine:1" } } });
    await rig.apply(without);
    assert.deepEqual(rig.shown, ["web-1 running"]);
    await rig.pass(23 * HOUR_MS, HOUR_MS);
    assert.deepEqual(references(rig), ["gone:1", "mine:1", "web:1"], "not yet");
    const pulls = rig.methods("pull").length;
    await rig.apply({ ...both, groupRevision: 3n });
    assert.ok(rig.shown.includes("gone-1 running"));
    assert.equal(rig.methods("pull").length, pulls, "it returned within a day");
    await rig.apply({ ...without, groupRevision: 4n });
    await rig.pass(23 * HOUR_MS, HOUR_MS);
    assert.ok(references(rig).includes("gone:1"), "the day begins again");
    await rig.start({ ...without, groupRevision: 4n });
    await rig.pass(2 * HOUR_MS, HOUR_MS);
    assert.deepEqual(references(rig), ["mine:1", "web:1"], "mine:1 was on the device before");
    assert.deepEqual([...(rig.kept?.pulled.keys() ?? [])], ["app web"]);
    assert.deepEqual([...(rig.kept?.imageHistory.keys() ?? [])], ["app web"]);
    assert.equal(rig.kept?.goneHours.size, 0);
    assert.deepEqual(rig.shown, ["web-1 running"]);
  });

  it("the image of a cron_job that left the config is removed, too, and stays where another app uses it", async () => {
    await using rig = new Rig({ images: [] });
    const job = { dockerImage: "job:1", schedule: "* * * * *" };
    await rig.start({ apps: { web: { dockerImage: "shared:1" }, twin: { dockerImage: "shared:1" } }, cronJobs: { job } });
    await rig.pass(61_000, 1000);
    assert.deepEqual(references(rig), ["job:1", "shared:1"]);
    await rig.apply({ groupRevision: 2n, apps: { web: { dockerImage: "shared:1" } } });
    await rig.pass(25 * HOUR_MS, HOUR_MS);
    assert.deepEqual(references(rig), ["shared:1"]);
    assert.deepEqual([...(rig.kept?.pulled.keys() ?? [])], ["app web"]);
  });

  it("an image of an app that left the config is forgotten though it cannot be removed, after three tries", async () => {
    await using rig = new Rig({ images: [] });
    await rig.start(both);
    rig.runtime.before = (call) => {
      rig.calls.push(call);
      if (call.method === "removeImage") throw new NebulaError("failed_precondition", "image has dependent child images");
    };
    await rig.apply(without);
    await rig.pass(26 * HOUR_MS, HOUR_MS / 4);
    assert.equal(rig.methods("removeImage").length, 3);
    assert.deepEqual([...(rig.kept?.imageHistory.keys() ?? [])], ["app web"]);
  });
});
