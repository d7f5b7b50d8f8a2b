import { strict as assert } from "node:assert";
import type { ImageBehaviour } from "./runtime/simulated-behaviour.ts";
import { Rig } from "./testing/rig.ts";

const SECOND = 1000;
const MINUTE = 60_000;
const CHECK = { test: ["CMD", "true"], intervalMs: 1000, timeoutMs: 1000, retries: 1, startPeriodMs: 0 };

function behaviour(image: string): Partial<ImageBehaviour> {
  if (image.includes("crash")) return { exit: { code: 3, afterMs: 200 } };
  if (image.includes("sick")) return { healthcheck: CHECK, health: { becomes: "unhealthy", afterMs: SECOND } };
  if (image.includes("undecided")) return { healthcheck: CHECK, health: { becomes: "starting", afterMs: 0 } };
  return image.includes("checked") ? { healthcheck: CHECK, health: { becomes: "healthy", afterMs: SECOND } } : {};
}

const images = ["shop:1", "checked:1", "sick:1", "undecided:1", "crash:1"];

describe("health", () => {
  it("is waited for where there is a check", async () => {
    await using rig = new Rig({ behaviour, images });
    await rig.start({ apps: { web: { dockerImage: "checked:1" } } });
    assert.equal(rig.stateOf("web"), "working: health");
    await rig.pass(SECOND);
    assert.equal(rig.stateOf("web"), "applied");
  });

  it("lost is a restart at once, and with waits of 1, 2, 4 ... minutes when it keeps being lost", async () => {
    await using rig = new Rig({ behaviour, images });
    await rig.start({ apps: { web: { dockerImage: "sick:1" }, db: {} } });
    const restarts: number[] = [];
    const started = rig.clock.monotonic();
    for (let second = 0; second < 20 * 60; second++) {
      await rig.pass(SECOND);
      if (rig.methods("restart").length > 0) restarts.push(Math.round((rig.clock.monotonic() - started) / SECOND));
      rig.calls.length = 0;
    }
    assert.deepEqual(restarts, [1, 61, 181, 421, 901]);
    assert.match(rig.stateOf("web"), /^(failed: health: container web-1 is unhealthy|working)/);
    assert.equal(rig.stateOf("db"), "applied");
  });

  it("that lasts makes the next restart come at once again", async () => {
    await using rig = new Rig({ behaviour, images });
    await rig.start({ apps: { web: { dockerImage: "checked:1" } } });
    await rig.pass(SECOND);
    const lose = async () => {
      rig.calls.length = 0;
      rig.runtime.setHealth(rig.named("web-1").id, "unhealthy");
      await rig.settle();
      return rig.methods("restart").length;
    };
    assert.equal(await lose(), 1);
    await rig.pass(5 * SECOND);
    assert.equal(await lose(), 0, "too soon");
    await rig.pass(15 * MINUTE, 5 * MINUTE);
    assert.equal(await lose(), 1);
  });

  it("that does not come in time is a failure", async () => {
    await using rig = new Rig({ behaviour, images });
    await rig.start({ apps: { web: { dockerImage: "undecided:1" } } });
    await rig.pass(31 * SECOND);
    assert.equal(rig.stateOf("web"), "working: health");
    await rig.pass(2 * SECOND); // retries * (interval + timeout) + 30 s
    assert.match(rig.stateOf("web"), /^failed: health: container web-1 is not healthy 32 s after its start/);
  });

  it("a command that ends at once is told with its exit code, and keeps no other app from being right", async () => {
    await using rig = new Rig({ behaviour, images });
    await rig.start({ apps: { web: { dockerImage: "crash:1" }, db: {} } });
    await rig.pass(3 * SECOND, 100);
    assert.match(rig.stateOf("web"), /^failed: health: container web-1 ends with exit code 3 again and again/);
    assert.equal(rig.stateOf("db"), "applied");
    assert.deepEqual(rig.methods("restart", "stop", "remove"), [], "the engine restarts it, by its policy");
  });

  it("a container that somebody paused runs again", async () => {
    await using rig = new Rig();
    await rig.start({ apps: { web: {} } });
    rig.runtime.pause(rig.named("web-1").id);
    await rig.settle();
    assert.deepEqual(rig.shown, ["web-1 running"]);
    assert.equal(rig.methods("restart").length, 1);
  });
});

describe("a container that the engine restarted before the worker saw it", () => {
  it("is not applied before it has run for min_healthy_ms, and then it is", async () => {
    await using rig = new Rig();
    await rig.start({ apps: { web: { minHealthyMs: 20_000 }, calm: {} } });
    await rig.kill();
    rig.runtime.exit(rig.named("web-1").id, 1);
    await rig.pass(1000);
    assert.equal(rig.named("web-1").phase, "running");
    await rig.start({ apps: { web: { minHealthyMs: 20_000 }, calm: {} } });
    assert.equal(rig.stateOf("web"), "working: health");
    assert.equal(rig.stateOf("calm"), "applied");
    await rig.pass(19_000, 1000);
    assert.equal(rig.stateOf("web"), "working: health");
    await rig.pass(2000, 1000);
    assert.equal(rig.stateOf("web"), "applied");
  });

  it("has failed while it is restarting, and is applied without another event once it stays up", async () => {
    await using rig = new Rig();
    await rig.start({ apps: { web: {} } });
    await rig.kill();
    rig.runtime.exit(rig.named("web-1").id, 1);
    await rig.start({ apps: { web: {} } });
    assert.match(rig.stateOf("web"), /^failed: health: container web-1 ends with exit code 1/);
    await rig.pass(9000, 1000);
    assert.match(rig.stateOf("web"), /^failed: health/);
    await rig.pass(3000, 1000);
    assert.equal(rig.stateOf("web"), "applied");
  });
});
