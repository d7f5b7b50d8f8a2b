import { strict as assert } from "node:assert";
import { PullPolicy } from "../gen/nebula/v1/container_pb.ts";
import { LABEL } from "./labels.ts";
import type { ImageBehaviour } from "./runtime/simulated-behaviour.ts";
import { perServer } from "./testing/config-builder.ts";
import { Rig } from "./testing/rig.ts";

const MINUTE = 60_000;
const signal = new AbortController().signal;

/** An image's tag says how its pull goes. */
function behaviour(image: string): Partial<ImageBehaviour> {
  if (image.includes("hangs")) return { pull: { kind: "hangs" } };
  if (image.includes("slow")) return { pull: { kind: "ok", afterMs: MINUTE } };
  if (image.includes("fails")) return { pull: { kind: "fails", message: "no such host" } };
  return {};
}

const pulls = (rig: Rig) => rig.methods("pull").map(({ target }) => target.replace("docker.io/library/", ""));

describe("a pull that fails beside an image of that tag on the device", () => {
  const STALE = "working: image: image stale: image app:2 can't be pulled: no such host";
  /** The registry is away until `isReachable`. */
  const registry = { isReachable: false };
  const away = (image: string): Partial<ImageBehaviour> =>
    registry.isReachable || image.includes("shop") ? {} : { pull: { kind: "fails", message: "no such host" } };
  const app2 = { apps: { web: { revision: 2n, dockerImage: "app:2" } } };
  const labelOf = (rig: Rig) => rig.named("web-1").labels[LABEL.stale];

  beforeEach(() => {
    registry.isReachable = false;
  });

  it("starts the local image at once where nothing of the app runs, and is retried until it succeeds", async () => {
    await using rig = new Rig({ behaviour: away, images: ["app:2"] });
    await rig.start(app2);
    assert.deepEqual(rig.shown, ["web-1 running"]);
    assert.equal(labelOf(rig), "1");
    assert.equal(rig.stateOf("web"), STALE);
    const { id } = rig.named("web-1");
    await rig.pass(60 * MINUTE, 15_000);
    const tries = pulls(rig).length;
    assert.ok(tries >= 6 && tries <= 10, `${tries} tries within an hour`);
    assert.equal(rig.stateOf("web"), STALE);
    registry.isReachable = true;
    await rig.pass(15 * MINUTE, 15_000);
    assert.equal(rig.stateOf("web"), "applied");
    assert.equal(rig.named("web-1").id, id, "the same image restarts nothing");
    const after = pulls(rig).length;
    await rig.pass(60 * MINUTE, MINUTE);
    assert.equal(pulls(rig).length, after);
  });

  it("replaces the container when its retry brings another image", async () => {
    await using rig = new Rig({ behaviour: away, images: ["app:2"] });
    await rig.start(app2);
    const stale = rig.named("web-1");
    rig.runtime.images.moveTag("docker.io/library/app:2");
    registry.isReachable = true;
    await rig.pass(MINUTE, 5000);
    assert.notEqual(rig.named("web-1").imageId, stale.imageId);
    assert.equal(labelOf(rig), undefined);
    assert.deepEqual(rig.shown, ["web-1 running"]);
    assert.equal(rig.stateOf("web"), "applied");
    const { id } = rig.named("web-1");
    rig.runtime.images.moveTag("docker.io/library/app:2");
    await rig.pass(60 * MINUTE, MINUTE);
    assert.equal(rig.named("web-1").id, id, "a tag that moves later is not drift");
  });

  it("takes down a container that runs only after its second failed try", async () => {
    await using rig = new Rig({ behaviour: away, images: ["shop:1", "app:2"] });
    await rig.start({ apps: { web: {} } });
    const before = rig.named("web-1").id;
    await rig.apply(app2);
    assert.equal(rig.named("web-1").id, before);
    assert.equal(rig.stateOf("web"), STALE, "the reason is visible from the start");
    await rig.pass(14_000);
    assert.equal(rig.named("web-1").id, before);
    await rig.pass(2000);
    assert.match(rig.named("web-1").image, /app:2/);
    assert.equal(labelOf(rig), "1");
    assert.equal(pulls(rig).filter((image) => image === "app:2").length, 2);
    assert.equal(rig.stateOf("web"), STALE);
  });

  it("is retried by a worker that lost its memory", async () => {
    await using rig = new Rig({ behaviour: away, images: ["app:2"] });
    await rig.start(app2);
    const { id } = rig.named("web-1");
    rig.calls.length = 0;
    await rig.start(app2, { keep: false });
    assert.deepEqual(pulls(rig), ["app:2"]);
    assert.equal(rig.stateOf("web"), STALE);
    registry.isReachable = true;
    await rig.start(app2, { keep: false });
    assert.equal(rig.stateOf("web"), "applied");
    assert.equal(rig.named("web-1").id, id);
    await rig.start(app2);
    assert.equal(rig.stateOf("web"), "applied", "what was pulled is kept");
  });

  it("leaves an app that scales up meanwhile on one image, and replaces all of its containers afterwards", async () => {
    await using rig = new Rig({ behaviour: away, images: ["app:2"] });
    await rig.start(app2);
    await rig.apply({ apps: { web: { revision: 3n, dockerImage: "app:2", containersPer: perServer(3) } } });
    assert.deepEqual(rig.shown, ["web-1 running", "web-2 running", "web-3 running"]);
    assert.equal(rig.stateOf("web"), STALE);
    rig.runtime.images.moveTag("docker.io/library/app:2");
    registry.isReachable = true;
    await rig.pass(15 * MINUTE, 5000);
    assert.deepEqual(rig.shown, ["web-1 running", "web-2 running", "web-3 running"]);
    assert.equal(new Set(rig.containers.map(({ imageId }) => imageId)).size, 1);
    assert.ok(rig.containers.every(({ labels }) => labels[LABEL.stale] === undefined));
    assert.equal(rig.stateOf("web"), "applied");
  });

  it("keeps the container of the local image when the one of the pulled image is refused", async () => {
    let refusal: string | undefined;
    const refused = (image: string) => ({ ...away(image), startRefusal: refusal });
    await using rig = new Rig({ behaviour: refused, images: ["app:2"] });
    await rig.start(app2);
    const stale = rig.named("web-1").id;
    rig.runtime.images.moveTag("docker.io/library/app:2");
    refusal = "exec: no such file";
    registry.isReachable = true;
    await rig.pass(30_000, 1000);
    assert.match(rig.stateOf("web"), /^failed: start: exec: no such file/);
    assert.deepEqual(rig.shown, ["web-1 running"]);
    assert.equal(rig.named("web-1").id, stale, "it runs again at once, under its name");
    refusal = undefined;
    await rig.pass(10 * MINUTE, 1000);
    assert.deepEqual(rig.shown, ["web-1 running"]);
    assert.notEqual(rig.named("web-1").id, stale);
    assert.equal(rig.stateOf("web"), "applied");
  });

  it("is pulled again for each container with pull_policy always, and no oftener", async () => {
    await using rig = new Rig({ behaviour: away, images: ["app:2"] });
    const always = { apps: { web: { dockerImage: "app:2", pullPolicy: PullPolicy.ALWAYS } } };
    await rig.start(always);
    assert.equal(labelOf(rig), "1");
    registry.isReachable = true;
    await rig.pass(MINUTE, 5000);
    assert.equal(rig.stateOf("web"), "applied");
    assert.equal(pulls(rig).length, 2);
    registry.isReachable = false;
    await rig.runtime.remove(rig.named("web-1").id, { force: true }, signal);
    await rig.settle();
    assert.equal(pulls(rig).length, 3);
    assert.equal(rig.stateOf("web"), STALE);
    rig.runtime.images.moveTag("docker.io/library/app:2");
    rig.calls.length = 0;
    await rig.pass(10 * MINUTE, 5000);
    assert.ok(pulls(rig).length >= 4);
    assert.deepEqual(rig.methods("remove"), [], "what an earlier pull brought is not compared with");
  });
});

describe("pulls", () => {
  it("that fail without an image leave running what runs, and are tried again with waits that grow", async () => {
    await using rig = new Rig({ behaviour });
    await rig.start({ apps: { web: {}, db: {} } });
    const before = rig.named("web-1").id;
    rig.calls.length = 0;
    await rig.apply({ apps: { web: { revision: 2n, dockerImage: "fails:2" }, db: { revision: 2n, dockerImage: "shop:2" } } });
    assert.equal(rig.stateOf("web"), "failed: pull: image fails:2 can't be pulled: no such host");
    assert.equal(rig.stateOf("db"), "applied", "one failing app keeps no other from converging");
    await rig.pass(60 * MINUTE, 15_000);
    assert.equal(rig.named("web-1").id, before);
    const tries = pulls(rig).filter((image) => image === "fails:2").length;
    assert.ok(tries >= 6 && tries <= 10, `${tries} tries within an hour`);
  });

  it("are the point of a restart: one that fails changes nothing, though the image is there", async () => {
    await using rig = new Rig({ behaviour, images: ["fails:1"] });
    await rig.start({ apps: { web: { dockerImage: "fails:1" } } });
    const before = rig.named("web-1").id;
    await rig.apply({ apps: { web: { revision: 2n, dockerImage: "fails:1", restartCount: 1n } } });
    assert.equal(rig.named("web-1").id, before);
    assert.match(rig.stateOf("web"), /^failed: pull/);
  });

  it("of a restart bring what the tag means now, and make the containers anew though nothing else differs", async () => {
    await using rig = new Rig();
    await rig.start({ apps: { web: {} } });
    const before = rig.named("web-1");
    rig.runtime.images.moveTag("docker.io/library/shop:1");
    await rig.pass(10 * MINUTE);
    assert.equal(rig.named("web-1").id, before.id, "a tag that moved is no drift");
    await rig.apply({ apps: { web: { revision: 2n, restartCount: 1n } } });
    assert.notEqual(rig.named("web-1").imageId, before.imageId);
  });

  it("do not happen to scale, nor to make a container of the same spec again", async () => {
    await using rig = new Rig();
    await rig.start({ apps: { web: { startingPorts: [{ hostPort: 80, containerPort: 80 }] } } });
    rig.calls.length = 0;
    const before = rig.named("web-1").id;
    await rig.apply({ apps: { web: { revision: 2n, containersPer: perServer(3), startingPorts: [{ hostPort: 80, containerPort: 80 }] } } });
    assert.deepEqual(rig.shown, ["web-1 running", "web-2 running", "web-3 running"]);
    for (const { id } of rig.containers) await rig.runtime.remove(id, { force: true }, signal);
    await rig.settle();
    assert.deepEqual(rig.shown, ["web-1 running", "web-2 running", "web-3 running"]);
    assert.notEqual(rig.named("web-1").id, before);
    assert.deepEqual(pulls(rig), []);
  });

  it("follow the app's policy", async () => {
    const cases: readonly (readonly [policy: PullPolicy, image: string, pulled: number])[] = [
      [PullPolicy.UNSPECIFIED, "shop:1", 1],
      [PullPolicy.ALWAYS, "shop:1", 1],
      [PullPolicy.MISSING, "shop:1", 0],
      [PullPolicy.MISSING, "shop:9", 1],
      [PullPolicy.NEVER, "shop:1", 0],
    ];
    for (const [pullPolicy, dockerImage, expected] of cases) {
      await using rig = new Rig();
      await rig.start({ apps: { web: { dockerImage, pullPolicy } } });
      assert.equal(rig.stateOf("web"), "applied");
      assert.equal(pulls(rig).length, expected, `policy ${pullPolicy} of ${dockerImage}`);
      await rig.runtime.remove(rig.named("web-1").id, { force: true }, signal);
      await rig.settle();
      assert.equal(pulls(rig).length, expected + (pullPolicy === PullPolicy.ALWAYS ? 1 : 0), `policy ${pullPolicy}, made again`);
    }
  });

  it("never happen with policy never, which is a failure where the image is not there", async () => {
    await using rig = new Rig();
    await rig.start({ apps: { web: { dockerImage: "shop:9", pullPolicy: PullPolicy.NEVER } } });
    assert.match(rig.stateOf("web"), /^failed: image: image .*shop:9 is not on the device/);
    assert.deepEqual(pulls(rig), []);
  });

  it("of one image are one, and of many at most three at a time", async () => {
    await using rig = new Rig({ behaviour });
    const apps = Object.fromEntries(["slow:1", "slow:1", "slow:2", "slow:3", "slow:4"].map((dockerImage, i) => [`app${i}`, { dockerImage }]));
    await rig.start({ apps });
    assert.deepEqual(pulls(rig), ["slow:1", "slow:2", "slow:3"]);
    await rig.pass(MINUTE);
    assert.deepEqual(pulls(rig), ["slow:1", "slow:2", "slow:3", "slow:4"]);
    await rig.pass(MINUTE);
    assert.deepEqual(rig.shown, ["app0-1 running", "app1-1 running", "app2-1 running", "app3-1 running", "app4-1 running"]);
  });

  it("that hang delay nothing else, and are given up after 2 minutes without progress", async () => {
    await using rig = new Rig({ behaviour });
    await rig.start({ apps: { stuck: { dockerImage: "hangs:1" }, web: {} } });
    assert.deepEqual(rig.shown, ["web-1 running"]);
    assert.equal(rig.stateOf("stuck"), "working: pull");
    await rig.runtime.remove(rig.named("web-1").id, { force: true }, signal);
    await rig.settle();
    assert.deepEqual(rig.shown, ["web-1 running"], "drift is repaired meanwhile");
    await rig.apply({ apps: { stuck: { dockerImage: "hangs:1" }, web: { revision: 2n, dockerImage: "shop:2" } } });
    assert.match(rig.named("web-1").image, /shop:2/);
    await rig.pass(2 * MINUTE);
    assert.match(rig.stateOf("stuck"), /^failed: pull: .*no progress for 120 s/);
  });

  it("of a spec that nobody wants any more are ended", async () => {
    await using rig = new Rig({ behaviour });
    await rig.start({ apps: { web: { dockerImage: "hangs:1" } } });
    await rig.apply({ apps: { web: { revision: 2n, dockerImage: "shop:2" } } });
    assert.equal(rig.stateOf("web"), "applied");
    await rig.apply({ apps: { a: { dockerImage: "hangs:2" }, b: { dockerImage: "hangs:3" }, c: { dockerImage: "hangs:4" } } });
    await rig.apply({ groupRevision: 2n, apps: { d: { dockerImage: "shop:9" } } });
    assert.equal(rig.stateOf("d"), "applied", "the ended ones make room");
  });

  it("wait a random time up to the longest that is set, the old container running meanwhile", async () => {
    const waits: number[] = [];
    for (let device = 0; device < 8; device++) {
      await using rig = new Rig({ identity: { maxRestartWaitMs: 10 * MINUTE, boot: `device-${device}` } });
      await rig.start({ apps: { web: {} } });
      await rig.pass(11 * MINUTE);
      rig.calls.length = 0;
      await rig.apply({ apps: { web: { revision: 2n, dockerImage: "shop:2" } } });
      let waited = 0;
      for (; pulls(rig).length === 0 && waited <= 10 * MINUTE; waited += 5000) {
        assert.match(rig.named("web-1").image, /shop:1/);
        await rig.pass(5000);
      }
      assert.match(rig.named("web-1").image, /shop:2/);
      waits.push(waited);
    }
    assert.ok(new Set(waits).size >= 6, `the waits differ: ${waits}`);
    assert.ok(Math.max(...waits) > 2 * MINUTE);
  });
});
