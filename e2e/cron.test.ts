import { strict as assert } from "node:assert";
import { setTimeout as delay } from "node:timers/promises";
import { eventually } from "../common/testing/eventually.ts";
import { CronOverlap } from "../gen/nebula/v1/cron_job_pb.ts";
import { Engine, FOREVER, IMAGE, newInstance } from "./harness/engine.ts";
import { FleetRig } from "./harness/fleet-rig.ts";
import { startInProcess } from "./harness/in-process-worker.ts";
import { JumpingClock } from "./harness/jumping-clock.ts";

const MINUTE_MS = 60_000;

function clockAtMinute(): JumpingClock {
  const clock = new JumpingClock();
  toNextMinute(clock);
  return clock;
}

/** To shortly after the next whole minute. */
function toNextMinute(clock: JumpingClock): void {
  clock.jump(MINUTE_MS - (clock.now() % MINUTE_MS) + 50);
}

describe("cron jobs", function () {
  this.timeout(150_000);
  const rig = FleetRig.describe();

  const runsOf = async (engine: Engine, job: string) => {
    const label = [`nebula.instance=${engine.instance}`, `cron_job_name=${job}`];
    const listed = await engine.docker.listContainers({ all: true, filters: { label } });
    return listed
      .map(({ Id, Names: [name = ""], State, Labels }) => ({ Id, State, Labels, due: Number(new RegExp(`-${job}-(\\d+)-1$`).exec(name)?.[1]) }))
      .sort((a, b) => a.due - b.due);
  };

  const finishedRun = (engine: Engine, job: string, timeoutMs = 20_000) => {
    const firstEnded = async () => (await runsOf(engine, job)).find(({ State }) => State === "exited") ?? false;
    return eventually(firstEnded, { timeoutMs, everyMs: 100 });
  };

  /** A worker by a clock of the test. */
  const deviceWithClock = async (clock: JumpingClock, ...cronJobs: string[]) => {
    const [group, instance] = [rig.name("group"), newInstance()];
    const engine = new Engine(instance);
    rig.defer(() => engine.clean());
    await rig.api.createGroup(group, [], cronJobs);
    const deviceId = `device-${instance}`;
    rig.use(await startInProcess({ server: rig.server, clock, deviceGroup: group, deviceId, instance }));
    const scheduled = ({ nextRunDue }: { nextRunDue?: unknown }) => nextRunDue !== undefined;
    for (const job of cronJobs) await rig.api.cronJobStatus(deviceId, job, scheduled);
    return { engine, deviceId };
  };

  it("cron_jobs run when they are due, under a name that says when that was, and are removed when they are deleted", async () => {
    const job = rig.name("backup");
    await rig.api.createCronJob({ name: job, dockerImage: IMAGE, schedule: "* * * * *", command: ["sh", "-c", "echo done; exit 0"] });
    const clock = clockAtMinute();
    const { engine, deviceId } = await deviceWithClock(clock, job);
    const due = Math.floor(clock.now() / MINUTE_MS) * 60 + 60;
    toNextMinute(clock);
    const run = await finishedRun(engine, job);
    assert.equal(run.due, due);
    assert.equal(run.Labels.container_type, "cron_job");
    const inspected = await engine.docker.getContainer(run.Id).inspect();
    assert.ok(["no", ""].includes(inspected.HostConfig.RestartPolicy?.Name ?? ""));
    assert.deepEqual(Object.keys(inspected.NetworkSettings.Networks).sort(), ["bridge", "nebula"], "what an empty list of networks means");
    await rig.api.cronJobStatus(deviceId, job, ({ lastRunDue }) => Number(lastRunDue?.seconds) === due);
    await rig.api.deleteCronJob(job);
    await eventually(async () => (await runsOf(engine, job)).length === 0, { timeoutMs: 20_000 });
  });

  if (process.env.NEBULA_TEST_LONG === "1") {
    it("cron_jobs run by the machine's own clock, in a worker's own process, which a delete does not end", async () => {
      const job = rig.name("backup");
      await rig.api.createCronJob({ name: job, dockerImage: IMAGE, schedule: "* * * * *", command: ["true"] });
      const { engine, worker } = await rig.device([], { cronJobs: [job] });
      const run = await finishedRun(engine, job, 90_000);
      assert.equal(run.due % 60, 0, "it was due at a whole minute");
      await rig.api.deleteCronJob(job);
      await eventually(async () => (await runsOf(engine, job)).length === 0, { timeoutMs: 20_000 });
      assert.equal(worker.program.ended, false);
    });
  }

  it("cron_jobs still running when the next run is due skip that one and say so; deleted, they are stopped", async () => {
    const job = rig.name("long");
    await rig.api.createCronJob({ name: job, dockerImage: IMAGE, schedule: "* * * * *", command: FOREVER });
    const clock = clockAtMinute();
    const { engine, deviceId } = await deviceWithClock(clock, job);
    toNextMinute(clock);
    await eventually(async () => (await runsOf(engine, job)).some(({ State }) => State === "running"), { timeoutMs: 20_000 });
    toNextMinute(clock);
    const skipped = await rig.api.cronJobStatus(deviceId, job, ({ reason }) => reason.includes("skipped"));
    assert.match(skipped.reason, /still went on/);
    assert.equal((await runsOf(engine, job)).length, 1);
    await rig.api.deleteCronJob(job);
    await eventually(async () => (await runsOf(engine, job)).length === 0, { timeoutMs: 20_000 });
  });

  it("cron_jobs that may overlap do; the last ones are kept for their logs; one that fails is reported with its exit code", async () => {
    const [twice, short] = [rig.name("twice"), rig.name("short")];
    await rig.api.createCronJob({ name: twice, dockerImage: IMAGE, schedule: "* * * * *", command: FOREVER, overlap: CronOverlap.ALLOW });
    await rig.api.createCronJob({ name: short, dockerImage: IMAGE, schedule: "* * * * *", command: ["sh", "-c", "exit 7"] });
    const clock = clockAtMinute();
    const { engine, deviceId } = await deviceWithClock(clock, twice, short);
    for (let minute = 1; minute <= 5; minute++) {
      toNextMinute(clock);
      await eventually(async () => (await runsOf(engine, twice)).filter(({ State }) => State === "running").length === minute, { timeoutMs: 20_000 });
      await eventually(
        async () => {
          const runs = await runsOf(engine, short);
          return runs.length === Math.min(minute, 3) && runs.every(({ State }) => State === "exited");
        },
        { timeoutMs: 20_000 },
      );
    }
    const dues = (await runsOf(engine, twice)).map(({ due }) => due);
    assert.deepEqual(
      dues,
      dues.map((_, i) => (dues[0] ?? 0) + i * 60),
    );
    assert.deepEqual(
      (await runsOf(engine, short)).map(({ due }) => due),
      dues.slice(-3),
    );
    const status = await rig.api.cronJobStatus(deviceId, short, ({ lastRunDue }) => Number(lastRunDue?.seconds) === dues.at(-1));
    assert.match(status.reason + status.notes.join(), /7/);
  });

  it("cron_jobs have a time zone of their own, and a schedule that is not due runs nothing", async () => {
    const clock = clockAtMinute();
    const due = clock.now() + MINUTE_MS;
    /** The time of day there in a minute. */
    const inZone = (timeZone: string) => {
      const parts = new Intl.DateTimeFormat("en-GB", { timeZone, hour: "2-digit", minute: "2-digit", hourCycle: "h23" }).formatToParts(due);
      const number = (type: string) => Number(parts.find((part) => part.type === type)?.value);
      return `${number("minute")} ${number("hour")} * * *`;
    };
    const [there, elsewhere] = [rig.name("kathmandu"), rig.name("utc")];
    const schedule = inZone("Asia/Kathmandu"); // 5 h 45 min off
    await rig.api.createCronJob({ name: there, dockerImage: IMAGE, schedule, timeZone: "Asia/Kathmandu", command: ["true"] });
    await rig.api.createCronJob({ name: elsewhere, dockerImage: IMAGE, schedule, timeZone: "UTC", command: ["true"] });
    const { engine } = await deviceWithClock(clock, there, elsewhere);
    toNextMinute(clock);
    await eventually(async () => (await runsOf(engine, there)).length === 1, { timeoutMs: 20_000 });
    await delay(500); // what must not happen can't be waited for
    assert.deepEqual(await runsOf(engine, elsewhere), []);
  });
});
