import { strict as assert } from "node:assert";
import { perServer } from "../../../common/testing/config-builder.ts";
import { PullPolicy } from "../../../gen/nebula/v1/container_pb.ts";
import type { RegistryLogin } from "../../runtime/container-runtime.ts";
import type { ImageBehaviour } from "../../runtime/simulated/behaviour.ts";
import { Rig } from "../../testing/rig.ts";

const MINUTE = 60_000;
const signal = new AbortController().signal;

/** An image's tag says how its pull goes. */
function behaviour(image: string): Partial<ImageBehaviour> {
  if (image.includes("hangs")) return { pull: { kind: "hangs" } };
  if (image.includes("repeats")) return { pull: { kind: "repeats" } };
  if (image.includes("unpacks")) return { pull: { kind: "unpacks", afterMs: 3 * 60 * MINUTE } };
  if (image.includes("endless")) return { pull: { kind: "unpacks", afterMs: 100 * 60 * MINUTE } };
  if (image.includes("absent")) return { pull: { kind: "fails", message: "manifest unknown: manifest unknown" } };
  if (image.includes("platform")) return { pull: { kind: "fails", message: "no matching manifest for linux/arm64 in the manifest list entries" } };
  if (image.includes("private")) return { pull: { kind: "fails", message: "unauthorized: authentication required" } };
  if (image.includes("slow")) return { pull: { kind: "ok", afterMs: MINUTE } };
  if (image.includes("fails")) return { pull: { kind: "fails", message: "no such host" } };
  return {};
}

const pulls = (rig: Rig) => rig.methods("pull").map(({ target }) => target.replace("docker.io/library/", ""));

describe("pulls", () => {
  it("a pull that fails without an image leaves the running container, and is retried with waits that grow", async () => {
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

  it("a pull is the point of a restart: one that fails changes nothing, though the image exists", async () => {
    await using rig = new Rig({ behaviour, images: ["fails:1"] });
    await rig.start({ apps: { web: { dockerImage: "fails:1" } } });
    const before = rig.named("web-1").id;
    await rig.apply({ apps: { web: { revision: 2n, dockerImage: "fails:1", restartCount: 1n } } });
    assert.equal(rig.named("web-1").id, before);
    assert.match(rig.stateOf("web"), /^failed: pull/);
  });

  it("a pull of a restart brings the image that the tag means now, and re-creates the containers though nothing else differs", async () => {
    await using rig = new Rig();
    await rig.start({ apps: { web: {} } });
    const before = rig.named("web-1");
    rig.runtime.images.moveTag("docker.io/library/shop:1");
    await rig.pass(10 * MINUTE);
    assert.equal(rig.named("web-1").id, before.id, "a tag that moved is not drift");
    await rig.apply({ apps: { web: { revision: 2n, restartCount: 1n } } });
    assert.notEqual(rig.named("web-1").imageId, before.imageId);
  });

  it("a pull does not happen to scale, nor to make a container of the same spec again", async () => {
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

  it("a pull follows the app's policy", async () => {
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

  it("a pull never happens with policy never, which is a failure where the image does not exist", async () => {
    await using rig = new Rig();
    await rig.start({ apps: { web: { dockerImage: "shop:9", pullPolicy: PullPolicy.NEVER } } });
    assert.match(rig.stateOf("web"), /^failed: image: image .*shop:9 is not on the device/);
    assert.deepEqual(pulls(rig), []);
  });

  it("pulls of one image are one, and of many at most three at a time", async () => {
    await using rig = new Rig({ behaviour });
    const apps = Object.fromEntries(["slow:1", "slow:1", "slow:2", "slow:3", "slow:4"].map((dockerImage, i) => [`app${i}`, { dockerImage }]));
    await rig.start({ apps });
    assert.deepEqual(pulls(rig), ["slow:1", "slow:2", "slow:3"]);
    await rig.pass(MINUTE);
    assert.deepEqual(pulls(rig), ["slow:1", "slow:2", "slow:3", "slow:4"]);
    await rig.pass(MINUTE);
    assert.deepEqual(rig.shown, ["app0-1 running", "app1-1 running", "app2-1 running", "app3-1 running", "app4-1 running"]);
  });

  it("a pull that hangs delays nothing else, and is given up after 2 minutes without progress", async () => {
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

  it("a pull that repeats its lines while nothing arrives is given up after 2 minutes", async () => {
    await using rig = new Rig({ behaviour });
    await rig.start({ apps: { stuck: { dockerImage: "repeats:1" } } });
    await rig.pass(2 * MINUTE - 1000, 1000);
    assert.equal(rig.stateOf("stuck"), "working: pull");
    await rig.pass(2000, 1000);
    assert.match(rig.stateOf("stuck"), /^failed: pull: .*no progress for 120 s/);
  });

  it("a pull that unpacks in silence once every layer has arrived has no stall limit, but ends after a day", async () => {
    await using rig = new Rig({ behaviour });
    await rig.start({ apps: { big: { dockerImage: "unpacks:1" }, bigger: { dockerImage: "endless:1" } } });
    await rig.pass(3 * 60 * MINUTE - 1000, 30 * MINUTE);
    assert.equal(rig.stateOf("big"), "working: pull");
    await rig.pass(2000);
    assert.equal(rig.stateOf("big"), "applied");
    await rig.pass(20 * 60 * MINUTE, 60 * MINUTE);
    assert.equal(rig.stateOf("bigger"), "working: pull");
    await rig.pass(60 * MINUTE);
    assert.match(rig.stateOf("bigger"), /^failed: pull: .*took longer than 24 h/);
    assert.deepEqual(pulls(rig), ["unpacks:1", "endless:1"], "each was pulled once");
  });

  it("a pull of an image that does not exist, or is refused, waits for up to an hour, and others for up to 15 minutes", async () => {
    await using rig = new Rig({ behaviour });
    const images = ["absent:1", "platform:1", "private:1", "fails:1"];
    await rig.start({ apps: Object.fromEntries(images.map((dockerImage, i) => [`app${i}`, { dockerImage }])) });
    await rig.pass(4 * 60 * MINUTE, MINUTE);
    rig.calls.length = 0;
    await rig.pass(24 * 60 * MINUTE, MINUTE);
    for (const image of images) {
      const tries = pulls(rig).filter((pulled) => pulled === image).length;
      const expected = image === "fails:1" ? 96 : 24;
      assert.ok(tries >= expected - 1 && tries <= expected + 1, `${image}: ${tries} tries in a day`);
    }
  });

  it("a pull of a refused login is retried as soon as the device's login for it has changed, and not when that of another image has", async () => {
    const logins = new Map<string, RegistryLogin>();
    const open = (image: string): Partial<ImageBehaviour> => (logins.get(image)?.registry === "right" ? {} : behaviour(image));
    await using rig = new Rig({ behaviour: open, login: async (image) => logins.get(image) });
    await rig.start({ apps: { web: { dockerImage: "private:1" }, db: { dockerImage: "private:2" } } });
    await rig.pass(5 * 60 * MINUTE, MINUTE);
    for (rig.calls.length = 0; pulls(rig).length === 0; ) await rig.pass(MINUTE);
    assert.deepEqual(pulls(rig), ["private:1", "private:2"]);
    rig.calls.length = 0;
    await rig.pass(30 * MINUTE, MINUTE);
    assert.deepEqual(pulls(rig), [], "both wait");
    logins.set("docker.io/library/private:1", { username: "u", password: "p", registry: "right" });
    await rig.pass(30_000);
    assert.deepEqual(pulls(rig), ["private:1"]);
    assert.equal(rig.stateOf("web"), "applied");
    assert.match(rig.stateOf("db"), /^failed: pull/);
  });

  for (const [what, images] of [
    ["where nothing runs", ["shop:1", "old:1"]],
    ["of an app that runs on the image on the device", ["shop:1", "old:1", "big:1"]],
  ] as const) {
    it(`a pull that found no space is retried as soon as an image has been removed, ${what}`, async () => {
      let isFull = true;
      const disk = (image: string): Partial<ImageBehaviour> =>
        isFull && image.includes("big") ? { pull: { kind: "fails", message: "write /var/lib: no space left on device" } } : {};
      await using rig = new Rig({ behaviour: disk, images });
      await rig.start({ apps: { web: { dockerImage: "big:1" } } });
      await rig.pass(5 * 60 * MINUTE, MINUTE);
      for (rig.calls.length = 0; pulls(rig).length === 0; ) await rig.pass(MINUTE);
      rig.calls.length = 0;
      isFull = false;
      const old = rig.runtime.images.find("docker.io/library/old:1");
      await rig.runtime.removeImage(old?.id ?? "", signal);
      await rig.pass(1000);
      assert.deepEqual(pulls(rig), ["big:1"]);
      assert.equal(rig.stateOf("web"), "applied");
    });
  }

  it("a pull continues when the rest of the spec changes, for all units that need the image by then", async () => {
    await using rig = new Rig({ behaviour });
    const withValue = (VALUE: string, others: object = {}) => ({
      groupRevision: BigInt(VALUE),
      apps: { web: { revision: BigInt(VALUE), dockerImage: "slow:1", envVars: { VALUE } }, ...others },
    });
    await rig.start(withValue("1"));
    await rig.pass(MINUTE / 2);
    await rig.apply(withValue("2", { twin: { dockerImage: "slow:1" } }));
    await rig.pass(MINUTE / 2);
    assert.deepEqual(pulls(rig), ["slow:1"]);
    assert.deepEqual(rig.shown, ["twin-1 running", "web-1 running"]);
    assert.deepEqual([rig.stateOf("web"), rig.stateOf("twin")], ["applied", "applied"]);
    assert.equal(rig.revisionOf("web-1"), "2");
  });

  it("a pull that fails is a failure of every unit that joined it", async () => {
    let isReachable = true;
    const late = (): Partial<ImageBehaviour> => ({ pull: isReachable ? { kind: "hangs" } : { kind: "fails", message: "no such host" } });
    await using rig = new Rig({ behaviour: late, images: [] });
    await rig.start({ apps: { web: { dockerImage: "app:1" } } });
    await rig.apply({ groupRevision: 2n, apps: { web: { dockerImage: "app:1" }, twin: { dockerImage: "app:1" } } });
    isReachable = false;
    await rig.pass(2 * MINUTE);
    for (const app of ["web", "twin"]) assert.match(rig.stateOf(app), /^failed: pull: .*no progress for 120 s/);
    await rig.pass(15_000);
    assert.deepEqual(pulls(rig), ["app:1", "app:1"], "the retry is one for both");
  });

  for (const [what, others] of [
    ["a restart of a new app", {}],
    ["a restart of one that another app joined", { twin: { dockerImage: "slow:1" } }],
  ] as const) {
    it(`a pull is followed by another one for ${what} that was asked for meanwhile`, async () => {
      await using rig = new Rig({ behaviour });
      await rig.start({ apps: { web: { dockerImage: "slow:1" } } });
      await rig.pass(MINUTE / 2);
      await rig.apply({ groupRevision: 2n, apps: { web: { revision: 2n, dockerImage: "slow:1", restartCount: 1n }, ...others } });
      assert.deepEqual(pulls(rig), ["slow:1"], "the one under way goes on");
      await rig.pass(MINUTE / 2);
      assert.deepEqual(pulls(rig), ["slow:1", "slow:1"]);
      assert.equal(
        rig.containers.some(({ name }) => name === "web-1"),
        false,
        "what the first one brought is not what was asked for",
      );
      await rig.pass(MINUTE);
      assert.equal(rig.stateOf("web"), "applied");
      assert.equal(pulls(rig).length, 2);
    });
  }

  it("a pull of a spec that is not wanted any more is ended", async () => {
    await using rig = new Rig({ behaviour });
    await rig.start({ apps: { web: { dockerImage: "hangs:1" } } });
    await rig.apply({ apps: { web: { revision: 2n, dockerImage: "shop:2" } } });
    assert.equal(rig.stateOf("web"), "applied");
    await rig.apply({ apps: { a: { dockerImage: "hangs:2" }, b: { dockerImage: "hangs:3" }, c: { dockerImage: "hangs:4" } } });
    await rig.apply({ groupRevision: 2n, apps: { d: { dockerImage: "shop:9" } } });
    assert.equal(rig.stateOf("d"), "applied", "the ended ones make room");
  });

  it("a pull waits a random time up to the longest that is set, the old container running meanwhile", async () => {
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
