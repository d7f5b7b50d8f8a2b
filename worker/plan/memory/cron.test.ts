import { strict as assert } from "node:assert";
import fc from "fast-check";
import type { ScheduledCronJob } from "../../../common/desired/desired.ts";
import { desiredOf } from "../../../common/desired/desired.ts";
import { NebulaError } from "../../../common/errors/nebula-error.ts";
import { type ConfigInit, configOf } from "../../../common/testing/config-builder.ts";
import { CronOverlap } from "../../../gen/nebula/v1/cron_job_pb.ts";
import type { ImageBehaviour } from "../../runtime/simulated/behaviour.ts";
import { Rig } from "../../testing/rig.ts";
import { considerSchedule } from "./cron.ts";
import type { CronMemory } from "./memory.ts";

const SECOND = 1000;
const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const signal = new AbortController().signal;

/** Runs end after 10 s; those of long:1 after 3 hours. */
function behaviour(image: string): Partial<ImageBehaviour> {
  if (image.includes("refused")) return { startRefusal: "no such device" };
  if (image.includes("fails")) return { pull: { kind: "fails", message: "no such host" }, exit: { code: 0, afterMs: SECOND } };
  return { exit: { code: 0, afterMs: image.includes("long") ? 3 * HOUR : 10 * SECOND } };
}

const images = ["shop:1", "shop:2", "long:1", "refused:1"];
type Job = NonNullable<NonNullable<ConfigInit["cronJobs"]>[string]>;
const hourly = (job: Job = {}): ConfigInit => ({ cronJobs: { backup: { schedule: "0 * * * *", ...job } } });

/** When the runs whose containers are there were due, as hours and minutes of UTC. */
function runs(rig: Rig): string[] {
  return rig.containers.map(({ name }) => new Date(Number(name.split("-")[1]) * 1000).toISOString().slice(11, 16)).sort();
}

function stateOf(rig: Rig) {
  assert.ok(rig.look?.kind === "seen");
  const [state] = rig.look.plan.states.cronJobs;
  assert.ok(state);
  return state;
}

// The rig's clock starts at 12:00:30 UTC, 1 January 2026.
describe("cron jobs", () => {
  it("cron_jobs run at their time, named by it, and not at a check-in", async () => {
    await using rig = new Rig({ behaviour, images });
    await rig.start(hourly());
    await rig.pass(59 * MINUTE);
    assert.deepEqual(rig.shown, []);
    await rig.pass(30 * SECOND);
    assert.deepEqual(rig.shown, [`backup-${Date.UTC(2026, 0, 1, 13) / 1000}-1 running`]);
    await rig.pass(10 * SECOND);
    assert.deepEqual(rig.shown, [`backup-${Date.UTC(2026, 0, 1, 13) / 1000}-1 exited`]);
    assert.equal(stateOf(rig).nextRunDue, Date.UTC(2026, 0, 1, 14));
    assert.equal(stateOf(rig).lastRunDue, Date.UTC(2026, 0, 1, 13));
  });

  it("cron_jobs run in their own time zone", async () => {
    await using rig = new Rig({ behaviour, images });
    await rig.start({ cronJobs: { backup: { schedule: "15 14 * * *", timeZone: "Europe/Berlin" } } });
    await rig.pass(80 * MINUTE, MINUTE);
    assert.deepEqual(runs(rig), ["13:15"]);
  });

  it("cron_jobs keep finished runs for their logs until three newer ones exist", async () => {
    await using rig = new Rig({ behaviour, images });
    await rig.start(hourly());
    await rig.pass(6 * HOUR, 10 * MINUTE);
    assert.deepEqual(runs(rig), ["16:00", "17:00", "18:00"]);
  });

  it("cron_jobs still running when the next run is due skip it, and report that", async () => {
    await using rig = new Rig({ behaviour, images });
    await rig.start(hourly({ dockerImage: "long:1" }));
    await rig.pass(2 * HOUR, 10 * MINUTE);
    assert.deepEqual(runs(rig), ["13:00"]);
    assert.match(stateOf(rig).reason ?? "", /2026-01-01T14:00:00.000Z was skipped/);
    assert.equal(stateOf(rig).state.kind, "applied", "a skipped run is not a failure");
  });

  it("cron_jobs still running when the next run is due are replaced, or joined, where the job says so", async () => {
    for (const [overlap, expected] of [
      [CronOverlap.REPLACE, ["13:00 exited", "14:00 running"]],
      [CronOverlap.ALLOW, ["13:00 running", "14:00 running"]],
    ] as const) {
      await using rig = new Rig({ behaviour, images });
      await rig.start(hourly({ dockerImage: "long:1", overlap }));
      await rig.pass(2 * HOUR, 10 * MINUTE);
      const shown = rig.containers.map(({ name, phase }) => `${new Date(Number(name.split("-")[1]) * 1000).toISOString().slice(11, 16)} ${phase}`);
      assert.deepEqual(shown.sort(), expected);
    }
  });

  it("runs missed while the worker was stopped are not made up, and none runs twice", async () => {
    await using rig = new Rig({ behaviour, images });
    await rig.start(hourly());
    await rig.pass(59.5 * MINUTE);
    assert.deepEqual(runs(rig), ["13:00"]);
    await rig.start(hourly(), { keep: false });
    assert.deepEqual(rig.methods("create").length, 1, "13:00 did not run again after a start within its minute");
    await rig.kill();
    await rig.clock.advance(2 * HOUR + 5 * MINUTE);
    await rig.start(hourly());
    await rig.pass(MINUTE);
    assert.deepEqual(runs(rig), ["13:00"]);
    await rig.pass(HOUR, 5 * MINUTE);
    assert.deepEqual(runs(rig), ["13:00", "16:00"]);
  });

  it("runs whose worker was killed between create and start are started all the same, but not an hour later", async () => {
    for (const [awayMs, expected] of [
      [5 * SECOND, ["13:00"]],
      [10 * MINUTE, []],
    ] as const) {
      await using rig = new Rig({ behaviour, images });
      await rig.start(hourly());
      rig.runtime.before = (call) => {
        rig.calls.push(call);
        if (call.method !== "start") return;
        void rig.kill();
        throw new NebulaError("cancelled", "the worker was killed");
      };
      await rig.pass(59.5 * MINUTE);
      assert.equal(rig.containers[0]?.phase, "created");
      await rig.kill();
      rig.runtime.before = undefined;
      await rig.clock.advance(awayMs);
      await rig.start(hourly());
      await rig.settle();
      assert.deepEqual(runs(rig), expected);
    }
  });

  it("cron_jobs that change leave the run until it ends, and are changed from the next run on", async () => {
    await using rig = new Rig({ behaviour, images });
    await rig.start(hourly({ dockerImage: "long:1", overlap: CronOverlap.ALLOW }));
    await rig.pass(HOUR, 10 * MINUTE);
    await rig.apply(hourly({ dockerImage: "shop:2", overlap: CronOverlap.ALLOW, revision: 2n }));
    assert.deepEqual(runs(rig), ["13:00"]);
    await rig.pass(HOUR, 10 * MINUTE);
    const imagesRun = rig.containers.map(({ image }) => image.split("/").at(-1));
    assert.deepEqual(imagesRun, ["long:1", "shop:2"]);
  });

  it("cron_jobs that must not run let the current run finish; those deleted or out of the group are stopped and removed", async () => {
    await using rig = new Rig({ behaviour, images });
    await rig.start(hourly({ dockerImage: "long:1" }));
    await rig.pass(HOUR, 10 * MINUTE);
    await rig.apply(hourly({ dockerImage: "long:1", running: false, revision: 2n }));
    await rig.pass(2 * HOUR, 10 * MINUTE);
    assert.equal(rig.containers[0]?.phase, "running");
    assert.equal(stateOf(rig).nextRunDue, undefined);
    await rig.apply({ cronJobs: { backup: undefined }, tombstoneRevision: 3n });
    assert.deepEqual(rig.shown, []);
    assert.equal(rig.stateOf("backup"), "applied");
  });

  it("runs that cannot be made, started or pulled have failed, say why, and the next one runs at its time", async () => {
    for (const [dockerImage, reason] of [
      ["refused:1", /no such device/],
      ["fails:9", /can't be pulled: no such host/],
    ] as const) {
      await using rig = new Rig({ behaviour, images });
      await rig.start(hourly({ dockerImage }));
      await rig.pass(59.5 * MINUTE);
      assert.equal(stateOf(rig).state.kind, "failed");
      assert.match(stateOf(rig).reason ?? "", reason);
      assert.deepEqual(rig.shown, [], "nothing half made is left");
      await rig.apply(hourly({ revision: 2n }));
      await rig.pass(HOUR, 10 * MINUTE);
      assert.deepEqual(runs(rig), ["14:00"]);
      assert.equal(stateOf(rig).state.kind, "applied");
    }
  });

  it("cron_jobs use the image on the device when its pull fails, with a note, and pull again at the next run", async () => {
    let isReachable = false;
    const offline = (): Partial<ImageBehaviour> => ({
      exit: { code: 0, afterMs: SECOND },
      ...(!isReachable && { pull: { kind: "fails", message: "no such host" } }),
    });
    await using rig = new Rig({ behaviour: offline, images: ["offline:1"] });
    await rig.start(hourly({ dockerImage: "offline:1" }));
    await rig.pass(2 * HOUR, 10 * MINUTE);
    assert.deepEqual(runs(rig), ["13:00", "14:00"]);
    assert.equal(rig.methods("pull").length, 2, "each run pulls once");
    assert.match(stateOf(rig).notes.join(), /used the image on the device: image offline:1 can't be pulled: no such host; the next run pulls again/);
    assert.equal(stateOf(rig).state.kind, "applied");
    isReachable = true;
    await rig.pass(2 * HOUR, 10 * MINUTE);
    assert.deepEqual(runs(rig).slice(-2), ["15:00", "16:00"]);
    assert.equal(rig.methods("pull").length, 3, "a pull that succeeded holds for the runs after it");
    assert.deepEqual(stateOf(rig).notes, []);
  });

  it("runs due while the engine or the worker was stopped are not made up, and noted with their number until the next one is due", async () => {
    await using rig = new Rig({ behaviour, images });
    await rig.start(hourly());
    await rig.pass(HOUR, 10 * MINUTE);
    assert.deepEqual(stateOf(rig).notes, []);
    rig.runtime.shutDown();
    await rig.pass(3 * HOUR - 5 * MINUTE, MINUTE);
    rig.runtime.boot();
    await rig.pass(20 * SECOND, SECOND);
    assert.deepEqual(runs(rig), ["13:00"]);
    assert.match(stateOf(rig).notes.join(), /^2 runs were missed, the newest due at 2026-01-01T15:00:00.000Z: the worker or the engine was away/);
    await rig.pass(10 * MINUTE, 10 * SECOND);
    assert.deepEqual(runs(rig), ["13:00", "16:00"]);
    assert.deepEqual(stateOf(rig).notes, []);
    await rig.kill();
    await rig.pass(90 * MINUTE);
    await rig.start(hourly());
    assert.match(stateOf(rig).notes.join(), /^1 run was missed, the newest due at 2026-01-01T17:00:00.000Z/);
  });

  it("runs due within the last minute before a start of the worker start late, once", async () => {
    await using rig = new Rig({ behaviour, images });
    await rig.start(hourly());
    await rig.pass(HOUR + 58 * MINUTE, MINUTE); // 13:58:30
    await rig.kill();
    await rig.pass(2 * MINUTE); // 14:00:30
    await rig.start(hourly());
    assert.deepEqual(runs(rig), ["13:00", "14:00"]);
    await rig.start(hourly());
    await rig.pass(10 * MINUTE, MINUTE);
    assert.deepEqual(runs(rig), ["13:00", "14:00"]);
    assert.deepEqual(stateOf(rig).notes, []);
    await rig.apply(hourly({ schedule: "10 * * * *", revision: 2n }));
    await rig.start(hourly({ schedule: "10 * * * *", revision: 2n }));
    assert.deepEqual(runs(rig), ["13:00", "14:00"], "a changed schedule counts from now on");
  });

  it("runs due while a look of the worker took long start late, and are not missed", async () => {
    await using rig = new Rig({ behaviour, images });
    await rig.start(hourly());
    await rig.pass(59 * MINUTE, MINUTE); // 12:59:30
    let isSlow = true;
    rig.runtime.before = async ({ method }) => {
      if (method !== "listContainers" || !isSlow) return;
      isSlow = false;
      await rig.clock.sleep(95 * SECOND, signal);
    };
    await rig.wake();
    await rig.pass(94 * SECOND, 2 * SECOND);
    assert.deepEqual(runs(rig), [], "the look has not ended");
    await rig.pass(2 * SECOND, SECOND);
    assert.deepEqual(runs(rig), ["13:00"]);
    assert.doesNotMatch(stateOf(rig).notes.join(), /missed/);
  });

  it("a failed run is reported with its exit code", async () => {
    await using rig = new Rig({ behaviour: () => ({ exit: { code: 7, afterMs: SECOND } }), images });
    await rig.start(hourly());
    await rig.pass(HOUR, MINUTE);
    assert.match(stateOf(rig).notes.join(), /ended with exit code 7/);
  });

  describe("when the clock jumps", () => {
    it("a clock that jumps back by less than 2 h runs nothing twice", async () => {
      await using rig = new Rig({ behaviour, images });
      await rig.start(hourly());
      await rig.pass(2 * HOUR, 10 * MINUTE);
      rig.clock.setWall(Date.UTC(2026, 0, 1, 12, 50));
      await rig.pass(80 * MINUTE, MINUTE);
      assert.deepEqual(runs(rig), ["13:00", "14:00"]);
      await rig.pass(HOUR, MINUTE);
      assert.deepEqual(runs(rig), ["13:00", "14:00", "15:00"]);
    });

    it("a clock that jumps back by years runs again: a board that woke in 2036 must not skip ten years", async () => {
      await using rig = new Rig({ behaviour, images });
      rig.clock.setWall(Date.UTC(2036, 0, 1, 12, 0, 30));
      await rig.start(hourly());
      await rig.pass(HOUR, MINUTE);
      assert.deepEqual(runs(rig), ["13:00"]);
      rig.clock.setWall(Date.UTC(2026, 0, 1, 20, 30));
      await rig.pass(HOUR, MINUTE);
      assert.ok(runs(rig).includes("21:00"), runs(rig).join());
    });

    it("a clock that jumps forward runs the next run, and makes up nothing", async () => {
      await using rig = new Rig({ behaviour, images });
      await rig.start(hourly());
      rig.clock.setWall(Date.UTC(2030, 5, 1, 6, 59));
      await rig.pass(3 * MINUTE, 10 * SECOND);
      assert.deepEqual(runs(rig), ["07:00"]);
    });

    it("a clock that jumps back by less than 2 h has the time noted until which runs are skipped; forward by years, not every run is counted", async () => {
      await using rig = new Rig({ behaviour, images });
      const every = { cronJobs: { backup: { schedule: "0 * * * *", timeZone: "UTC" } } };
      await rig.start(every);
      await rig.pass(3 * MINUTE, 10 * SECOND);
      const until = rig.clock.now();
      rig.clock.setWall(until - HOUR);
      await rig.pass(MINUTE, 10 * SECOND);
      assert.match(stateOf(rig).notes.join(), /the clock was set back: runs due until 2026-01-01T12:0/);
      rig.clock.setWall(until + 5 * 365 * 24 * HOUR);
      await rig.pass(MINUTE / 2, 10 * SECOND);
      assert.match(stateOf(rig).notes.join(), /more than 100 runs were missed/);
    });

    it("a clock with any jumps runs no due time twice within 2 h, and no look takes long", () => {
      const schedule = "*/7 * * * *";
      const config = configOf({ cronJobs: { backup: { schedule, timeZone: "UTC", overlap: CronOverlap.ALLOW } } });
      const [job] = desiredOf(config, { deviceId: "d", engine: { cores: 1, memoryBytes: 1 } }).cronJobs;
      assert.ok(job?.kind === "scheduled");
      fc.assert(
        fc.property(fc.array(jump, { maxLength: 60 }), (jumps) => checkJumps(job, jumps)),
        { numRuns: process.env.NEBULA_TEST_LONG === "1" ? 10_000 : 300 },
      );
    }).timeout(600_000);
  });

  it("cron_jobs of the original are recognised by their labels: they are removed with their job", async () => {
    await using rig = new Rig({ behaviour, images });
    const { bareSpec } = await import("../../../common/testing/bare-spec.ts");
    const labels = { orchestrator: "nebula", container_type: "cron_job", cron_job_name: "backup" };
    await rig.runtime.create({ name: "backup-1700000000-1", spec: bareSpec("shop:1"), labels }, signal);
    await rig.start({});
    assert.deepEqual(rig.shown, []);
  });
});

/** Looks every now and then, clocks put right, and boards that wake in another year; milliseconds. */
const jump = fc.oneof(
  { weight: 6, arbitrary: fc.integer({ min: 0, max: 5 * MINUTE }) },
  { weight: 2, arbitrary: fc.integer({ min: -3 * HOUR, max: 3 * HOUR }) },
  { weight: 1, arbitrary: fc.integer({ min: -10 * 365 * 24 * HOUR, max: 10 * 365 * 24 * HOUR }) },
);

/** Looks after each jump, as if every run was begun at once; small steps back never repeat one. */
function checkJumps(job: ScheduledCronJob, jumps: readonly number[]): void {
  let wall = Date.UTC(2026, 0, 1);
  let memory: CronMemory | undefined;
  let begun: number[] = [];
  for (const jump of jumps) {
    wall = Math.max(0, wall + jump);
    if (Math.max(...begun) - wall >= 2 * HOUR) begun = []; // the clock was wrong then
    memory = considerSchedule(memory, job, [], wall, 0);
    if (memory.pending !== undefined) {
      assert.ok(memory.pending <= wall && wall - memory.pending <= MINUTE, "a run is due now");
      assert.ok(!begun.includes(memory.pending), `${memory.pending} ran twice`);
      begun.push(memory.pending);
      memory = { ...memory, pending: undefined };
    }
  }
}
