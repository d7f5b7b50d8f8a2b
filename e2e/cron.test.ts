import { strict as assert } from "node:assert";
import { eventually } from "../common/testing/eventually.ts";
import { IMAGE } from "./harness/engine.ts";
import { FleetRig } from "./harness/fleet-rig.ts";

describe("cron jobs", function () {
  // schedules have minutes: a run is due within one
  this.timeout(180_000);
  const rig = FleetRig.describe();

  it("run when they are due, under a name that says when that was, and go when they are deleted", async () => {
    const job = rig.name("backup");
    await rig.api.createCronJob({ name: job, dockerImage: IMAGE, schedule: "* * * * *", command: ["sh", "-c", "echo done; exit 0"] });
    const { engine, worker } = await rig.device([], { cronJobs: [job] });
    const runs = () =>
      engine.docker.listContainers({ all: true, filters: { label: [`nebula.instance=${engine.instance}`, `cron_job_name=${job}`] } });
    const [run] = await eventually(
      async () => {
        const found = await runs();
        return found.length > 0 && found[0]?.State === "exited" ? found : false;
      },
      { timeoutMs: 90_000, everyMs: 200 },
    );
    const due = Number(new RegExp(`${job}-(\\d+)-1$`).exec(run?.Names[0] ?? "")?.[1]);
    assert.equal(due % 60, 0, "it was due at a whole minute");
    assert.equal(run?.Labels.container_type, "cron_job");
    const inspected = await engine.docker.getContainer(run?.Id ?? "").inspect();
    assert.ok(["no", ""].includes(inspected.HostConfig.RestartPolicy?.Name ?? ""));
    assert.deepEqual(Object.keys(inspected.NetworkSettings.Networks).sort(), ["bridge", "nebula"], "what an empty list of networks means");
    await rig.api.cronJobStatus(worker.deviceId, job, ({ lastRunDue }) => Number(lastRunDue?.seconds) === due);
    await rig.api.deleteCronJob(job);
    await eventually(async () => (await runs()).length === 0, { timeoutMs: 20_000 });
    assert.equal(worker.program.ended, false);
  });
});
