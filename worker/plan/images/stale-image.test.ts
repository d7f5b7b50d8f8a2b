import { strict as assert } from "node:assert";
import { perServer } from "../../../common/testing/config-builder.ts";
import { PullPolicy } from "../../../gen/nebula/v1/container_pb.ts";
import { LABEL } from "../../observed/labels.ts";
import type { ImageBehaviour } from "../../runtime/simulated/behaviour.ts";
import { Rig } from "../../testing/rig.ts";

const MINUTE = 60_000;
const signal = new AbortController().signal;
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

  it("a failed pull starts the local image at once where nothing of the app runs, and is retried until it succeeds", async () => {
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

  it("a failed pull replaces the container when its retry brings another image", async () => {
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

  it("a failed pull takes down a running container only after its second try", async () => {
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

  it("a failed pull is retried by a worker that lost its memory", async () => {
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

  it("a failed pull leaves an app that scales up meanwhile on one image, and replaces all of its containers afterwards", async () => {
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

  it("a failed pull keeps the container of the local image when the one of the pulled image is refused", async () => {
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

  it("a failed pull is made again for each container with pull_policy always, and not more often", async () => {
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
