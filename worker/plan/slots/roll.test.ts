import { strict as assert } from "node:assert";
import { type ConfigInit, perServer } from "../../../common/testing/config-builder.ts";
import type { ImageBehaviour } from "../../runtime/simulated/behaviour.ts";
import { Rig } from "../../testing/rig.ts";

const SECOND = 1000;
const signal = new AbortController().signal;
const CHECK = { test: ["CMD", "true"], intervalMs: 1000, timeoutMs: 1000, retries: 1, startPeriodMs: 0 };

/** sick: unhealthy after 1 s; checked: healthy after 1 s; others have no health check. */
function behaviour(image: string): Partial<ImageBehaviour> {
  if (image.includes("sick")) return { healthcheck: CHECK, health: { becomes: "unhealthy", afterMs: SECOND } };
  if (image.includes("checked")) return { healthcheck: CHECK, health: { becomes: "healthy", afterMs: SECOND } };
  return image.includes("refused") ? { startRefusal: "no such device" } : {};
}

const images = ["shop:1", "shop:2", "shop:3", "checked:1", "checked:2", "sick:1", "refused:1"];

type AppInit = NonNullable<NonNullable<ConfigInit["apps"]>[string]>;
const web = (count: number, dockerImage: string, revision: bigint, more: AppInit = {}): ConfigInit => ({
  apps: { web: { dockerImage, revision, rollingRestart: true, containersPer: perServer(count), ...more } },
});

/** Tags of the running containers by index: "1 1 2" */
function tags(rig: Rig): string {
  const running = rig.containers.filter(({ phase }) => phase === "running");
  return running
    .map(({ name, image }) => [Number(name.split("-")[1]?.split(".")[0]), image.split(":").at(-1)] as const)
    .sort(([a], [b]) => a - b)
    .map(([, tag]) => tag)
    .join(" ");
}

describe("a rolling restart", () => {
  it("a rolling restart changes the lowest index first, one at a time, each gated on 10 s of running without a health check", async () => {
    await using rig = new Rig({ behaviour, images });
    await rig.start(web(3, "shop:1", 1n));
    await rig.pass(11 * SECOND);
    await rig.apply(web(3, "shop:2", 2n));
    assert.equal(tags(rig), "2 1 1");
    await rig.pass(9 * SECOND);
    assert.equal(tags(rig), "2 1 1");
    await rig.pass(SECOND);
    assert.equal(tags(rig), "2 2 1");
    assert.equal(rig.stateOf("web"), "working: roll");
    await rig.pass(10 * SECOND);
    assert.equal(tags(rig), "2 2 2");
    assert.equal(rig.stateOf("web"), "applied");
  });

  it("a rolling restart goes as fast as health and min_healthy_ms let it", async () => {
    await using checked = new Rig({ behaviour, images });
    await checked.start(web(4, "checked:1", 1n));
    await checked.pass(2 * SECOND);
    await checked.apply(web(4, "checked:2", 2n));
    await checked.pass(3 * SECOND, 100);
    assert.equal(tags(checked), "2 2 2 2");
    await using quick = new Rig({ behaviour, images });
    await quick.start(web(4, "shop:1", 1n, { minHealthyMs: 1000 }));
    await quick.pass(2 * SECOND);
    await quick.apply(web(4, "shop:2", 2n, { minHealthyMs: 1000 }));
    await quick.pass(3 * SECOND, 100);
    assert.equal(tags(quick), "2 2 2 2");
  });

  it("a rolling restart is held by a new container that is unhealthy, and continues with the next spec, the unhealthy one first", async () => {
    await using rig = new Rig({ behaviour, images });
    await rig.start(web(3, "checked:1", 1n));
    await rig.pass(2 * SECOND);
    await rig.apply(web(3, "sick:1", 2n));
    await rig.pass(3 * 60 * SECOND, 10 * SECOND);
    const sick = () => rig.containers.filter(({ image }) => image.includes("sick"));
    assert.deepEqual(
      sick().map(({ name }) => name),
      ["web-1"],
    );
    assert.match(rig.stateOf("web"), /^failed: health: container web-1 is unhealthy/);
    await rig.apply(web(3, "checked:2", 3n));
    assert.equal(rig.named("web-1").image.split("/").at(-1), "checked:2");
    await rig.pass(10 * SECOND, 500);
    assert.equal(tags(rig), "2 2 2");
  });

  it("a rolling restart is held by a new container that cannot be started: the others are not tried", async () => {
    await using rig = new Rig({ behaviour, images });
    await rig.start(web(3, "shop:1", 1n));
    await rig.pass(11 * SECOND);
    rig.calls.length = 0;
    await rig.apply(web(3, "refused:1", 2n));
    await rig.pass(30 * SECOND, SECOND);
    assert.equal(tags(rig), "1 1 1");
    assert.equal(rig.methods("stop").length, 1);
    assert.match(rig.stateOf("web"), /^failed: start: no such device/);
  });

  it("a rolling restart changes the one that does not pass first, and the healthy ones only once that one passes", async () => {
    await using rig = new Rig({ behaviour, images });
    await rig.start(web(3, "checked:1", 1n));
    await rig.pass(2 * SECOND);
    rig.runtime.setHealth(rig.named("web-2").id, "unhealthy");
    await rig.settle(); // restarted, and starting
    await rig.apply(web(3, "checked:2", 2n));
    assert.equal(tags(rig), "1 2 1");
    await rig.pass(SECOND - 1);
    assert.equal(tags(rig), "1 2 1");
    await rig.pass(5 * SECOND, 500);
    assert.equal(tags(rig), "2 2 2");
  });

  it("a rolling restart makes missing containers first, new indexes after the others, and removes surplus ones last", async () => {
    await using rig = new Rig({ behaviour, images });
    await rig.start(web(4, "shop:1", 1n));
    await rig.pass(11 * SECOND);
    await rig.kill();
    await rig.runtime.remove(rig.named("web-3").id, { force: true }, signal);
    await rig.start(web(6, "shop:2", 2n));
    assert.deepEqual(rig.shown, ["web-1 running", "web-2 running", "web-3 running", "web-4 running"]);
    assert.match(rig.named("web-3").image, /shop:2/);
    await rig.pass(25 * SECOND, SECOND);
    assert.equal(rig.containers.length, 4, "5 and 6 come after the roll");
    await rig.pass(30 * SECOND, SECOND);
    assert.equal(tags(rig), "2 2 2 2 2 2");
    await rig.apply(web(2, "shop:3", 3n));
    await rig.pass(5 * SECOND, SECOND);
    assert.equal(rig.containers.length, 6, "3 to 6 go last");
    await rig.pass(30 * SECOND, SECOND);
    assert.equal(tags(rig), "3 3");
  });

  it("a rolling restart has downtime with one container, and does nothing with zero", async () => {
    await using rig = new Rig({ behaviour, images });
    await rig.start(web(1, "shop:1", 1n));
    await rig.apply(web(1, "shop:2", 2n));
    assert.equal(tags(rig), "2");
  });

  it("a scale-up or a repair is not a rolling restart: nothing waits for a gate", async () => {
    await using rig = new Rig({ behaviour, images });
    await rig.start(web(2, "shop:1", 1n));
    await rig.apply(web(12, "shop:1", 2n));
    assert.equal(rig.containers.length, 12, "ten or more have names of their own, sorted as numbers");
    for (const { id } of rig.containers) await rig.runtime.stop(id, 0, signal);
    await rig.settle();
    assert.ok(rig.containers.every(({ phase }) => phase === "running"));
  });

  it("a rolling restart whose ports move takes the index whose new port is free, in any state of the others", async () => {
    await using rig = new Rig({ behaviour, images });
    const ports = (hostPort: number) => ({ minHealthyMs: 1000, startingPorts: [{ hostPort, containerPort: 80 }] });
    await rig.start(web(3, "shop:1", 1n, ports(80)));
    await rig.pass(2 * SECOND);
    let fewest = 3;
    rig.runtime.before = () => {
      fewest = Math.min(fewest, rig.containers.filter(({ phase }) => phase === "running").length);
    };
    await rig.apply(web(3, "shop:1", 2n, ports(81)));
    await rig.pass(10 * SECOND, 200);
    assert.deepEqual(rig.containers.map(({ hostPorts }) => hostPorts[0]?.hostPort).sort(), [81, 82, 83]);
    assert.equal(rig.stateOf("web"), "applied");
    assert.equal(fewest, 2);
  });

  it("a rolling restart whose containers trade ports stops those that trade together, and says so", async () => {
    await using rig = new Rig({ behaviour, images });
    const ports = (a: number, b: number) => ({
      minHealthyMs: 1000,
      startingPorts: [
        { hostPort: a, containerPort: 1 },
        { hostPort: b, containerPort: 2 },
      ],
    });
    // Container 1 has 80 and 91, container 2 has 81 and 92; then 1 wants 81 and 2 wants 91.
    await rig.start(web(2, "shop:1", 1n, ports(80, 91)));
    await rig.pass(2 * SECOND);
    await rig.apply(web(2, "shop:1", 2n, ports(81, 90)));
    await rig.pass(10 * SECOND, 200);
    assert.equal(rig.stateOf("web"), "applied");
    assert.deepEqual(rig.containers.map(({ hostPorts }) => hostPorts.map(({ hostPort }) => hostPort).sort()).sort(), [
      [81, 90],
      [82, 91],
    ]);
  });
});
