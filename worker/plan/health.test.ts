import { strict as assert } from "node:assert";
import { perServer } from "../../common/testing/config-builder.ts";
import type { ImageBehaviour } from "../runtime/simulated/behaviour.ts";
import { Rig } from "../testing/rig.ts";

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
  it("health is waited for where there is a check", async () => {
    await using rig = new Rig({ behaviour, images });
    await rig.start({ apps: { web: { dockerImage: "checked:1" } } });
    assert.equal(rig.stateOf("web"), "working: health");
    await rig.pass(SECOND);
    assert.equal(rig.stateOf("web"), "applied");
  });

  it("health that is lost is a restart at once, and with waits of 1, 2, 4 ... minutes when it keeps being lost", async () => {
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

  it("health that lasts makes the next restart come at once again", async () => {
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

  it("health that does not come in time is a failure", async () => {
    await using rig = new Rig({ behaviour, images });
    await rig.start({ apps: { web: { dockerImage: "undecided:1" } } });
    await rig.pass(31 * SECOND);
    assert.equal(rig.stateOf("web"), "working: health");
    await rig.pass(2 * SECOND); // retries * (interval + timeout) + 30 s
    assert.match(rig.stateOf("web"), /^failed: health: container web-1 is not healthy 32 s after its start/);
  });

  it("a command that ends at once is reported with its exit code, and keeps no other app from converging", async () => {
    await using rig = new Rig({ behaviour, images });
    await rig.start({ apps: { web: { dockerImage: "crash:1" }, db: {} } });
    await rig.pass(3 * SECOND, 100);
    assert.match(rig.stateOf("web"), /^failed: health: container web-1 ends with exit code 3 again and again/);
    assert.equal(rig.stateOf("db"), "applied");
    assert.deepEqual(rig.methods("restart", "stop", "remove"), [], "the engine restarts it, by its policy");
  });

  it("an app whose container runs out of memory says so, with the limit, and a failing health check its output", async () => {
    const troubles = (image: string): Partial<ImageBehaviour> =>
      image.includes("crash")
        ? { exit: { code: 137, afterMs: 500, outOfMemory: true } }
        : { healthcheck: CHECK, health: { becomes: "unhealthy", afterMs: 500, output: "curl: (7) connection refused" } };
    await using rig = new Rig({ behaviour: troubles, images });
    await rig.start({ apps: { big: { dockerImage: "crash:1", memoryLimitMb: 64 }, ill: { dockerImage: "sick:1" } } });
    await rig.pass(5 * SECOND, 100);
    assert.match(rig.stateOf("big"), /^failed: health: container big-1 runs out of memory again and again \(its limit is 64 MB\)/);
    const seen = new Set<string>();
    for (let i = 0; i < 30; i++) {
      await rig.pass(100);
      seen.add(rig.stateOf("ill"));
    }
    assert.ok(
      [...seen].some((state) => /its health check fails, and prints: curl: \(7\) connection refused/.test(state)),
      [...seen].join("\n"),
    );
  });

  const notesOf = (rig: Rig) => (rig.look?.kind === "seen" ? rig.look.plan.states.apps.flatMap(({ notes }) => notes).join() : "");

  it("a container that was paused by hand is left alone for 2 minutes, which its app says, then unpaused and never restarted", async () => {
    await using rig = new Rig();
    await rig.start({ apps: { web: {} } });
    const { id, startedAt } = rig.named("web-1");
    rig.runtime.pause(id);
    await rig.settle();
    rig.calls.length = 0;
    assert.equal(rig.stateOf("web"), "working: paused");
    assert.match(notesOf(rig), /container web-1 is paused; it is unpaused when it has been so for 2 minutes/);
    await rig.pass(119 * SECOND, SECOND);
    assert.deepEqual(rig.shown, ["web-1 paused"]);
    await rig.pass(2 * SECOND);
    assert.deepEqual(rig.shown, ["web-1 running"]);
    assert.equal(rig.named("web-1").startedAt, startedAt);
    assert.deepEqual(rig.methods("unpause", "restart", "stop", "start", "create").length, 1);
    assert.equal(rig.stateOf("web"), "applied");
    assert.equal(notesOf(rig), "");
    rig.runtime.pause(id);
    await rig.pass(119 * SECOND, SECOND);
    assert.deepEqual(rig.shown, ["web-1 paused"], "each pause has its own 2 minutes");
  });

  it("a container that cannot be unpaused fails its app, and is retried", async () => {
    await using rig = new Rig();
    await rig.start({ apps: { web: {} } });
    rig.runtime.trouble = ({ method }) => (method === "unpause" ? { afterMs: 0, refusal: "cgroup is frozen" } : undefined);
    rig.runtime.pause(rig.named("web-1").id);
    await rig.pass(121 * SECOND, SECOND);
    assert.equal(rig.stateOf("web"), "failed: paused: cgroup is frozen");
    rig.runtime.trouble = undefined;
    await rig.pass(11 * 60 * SECOND, SECOND);
    assert.deepEqual(rig.shown, ["web-1 running"]);
    assert.equal(rig.stateOf("web"), "applied");
  });

  it("a paused container holds a roll, and the paused run of a cron_job continues, too", async () => {
    await using rig = new Rig();
    const apps = (n: number) => ({ web: { revision: BigInt(n), dockerImage: `shop:${n}`, rollingRestart: true, containersPer: perServer(2) } });
    await rig.start({ apps: apps(1), cronJobs: { job: { schedule: "1 12 * * *" } } });
    await rig.pass(60 * SECOND, 10 * SECOND);
    const run = rig.containers.find(({ name }) => name.startsWith("job"));
    for (const id of [rig.named("web-2").id, run?.id ?? ""]) rig.runtime.pause(id);
    await rig.apply({ groupRevision: 2n, apps: apps(2), cronJobs: { job: { schedule: "1 12 * * *" } } });
    await rig.pass(100 * SECOND, 10 * SECOND);
    assert.match(rig.named("web-1").image, /shop:1/, "a paused one counts as down for its neighbours");
    await rig.pass(60 * SECOND, 5 * SECOND);
    assert.deepEqual(
      rig.containers.filter(({ phase }) => phase !== "running"),
      [],
    );
    assert.equal(rig.stateOf("web"), "applied");
    assert.match(rig.named("web-2").image, /shop:2/);
  });
});

describe("a container that the engine restarted before the worker saw it", () => {
  it("a container that the engine restarted is not applied before it has run for min_healthy_ms, and then it is", async () => {
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

  it("a container that the engine restarts has failed meanwhile, and is applied without another event once it stays up", async () => {
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
