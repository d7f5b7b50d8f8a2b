import { strict as assert } from "node:assert";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { isNebulaError } from "../../../common/errors/nebula-error.ts";
import {
  CreateCronJobRequestSchema,
  CronJobSchema,
  CronOverlap,
  DeleteCronJobRequestSchema,
  GetCronJobRequestSchema,
  ListCronJobsRequestSchema,
  UpdateCronJobRequestSchema,
} from "../../../gen/nebula/v1/cron_job_pb.ts";
import { CreateDeviceGroupRequestSchema } from "../../../gen/nebula/v1/device_group_pb.ts";
import { callOf, type EntityRig, startEntityRig } from "../../testing/entity-rig.ts";

type CronJobInit = MessageInitShape<typeof CronJobSchema>;

describe("CronJobService", () => {
  const ann = callOf("ann");
  let rig: EntityRig;
  beforeEach(async () => {
    rig = await startEntityRig();
  });
  afterEach(() => rig[Symbol.asyncDispose]());

  async function createCronJob(fields: CronJobInit = {}) {
    const cronJob = { name: "backup", dockerImage: "backup:1", schedule: "@daily", ...fields };
    return create(CronJobSchema, (await rig.cronJobs.createCronJob(create(CreateCronJobRequestSchema, { cronJob }), ann)).cronJob ?? assert.fail());
  }
  async function updateCronJob(fields: CronJobInit, updateFields: string[], redeploy = false) {
    const request = create(UpdateCronJobRequestSchema, { cronJob: { name: "backup", ...fields }, updateFields, redeploy });
    return create(CronJobSchema, (await rig.cronJobs.updateCronJob(request, ann)).cronJob ?? assert.fail());
  }

  it("a cron_job is created, read, changed, listed and deleted", async () => {
    const created = await createCronJob();
    assert.deepEqual(
      created,
      create(CronJobSchema, {
        name: "backup",
        revision: 1n,
        dockerImage: "backup:1",
        schedule: "@daily",
        running: true,
        overlap: CronOverlap.SKIP,
        stopGraceSeconds: 10,
      }),
    );
    const changed = await updateCronJob({ schedule: "*/5 * * * *", overlap: CronOverlap.REPLACE }, ["schedule", "overlap"]);
    assert.deepEqual(
      [changed.revision, changed.schedule, changed.overlap, changed.dockerImage],
      [2n, "*/5 * * * *", CronOverlap.REPLACE, "backup:1"],
    );
    const { cronJob, lastChange } = await rig.cronJobs.getCronJob(create(GetCronJobRequestSchema, { name: "backup" }), ann);
    assert.deepEqual([cronJob, lastChange?.by], [changed, "ann"]);
    const { cronJobs } = await rig.cronJobs.listCronJobs(create(ListCronJobsRequestSchema), ann);
    assert.deepEqual(cronJobs, [changed]);

    await rig.groups.createDeviceGroup(create(CreateDeviceGroupRequestSchema, { deviceGroup: { name: "pos", cronJobs: ["backup"] } }), ann);
    const { revision, warnings } = await rig.cronJobs.deleteCronJob(create(DeleteCronJobRequestSchema, { name: "backup" }), ann);
    assert.deepEqual(
      [revision, warnings],
      [3n, ["cron_job backup is still named by 1 device_group: pos; its devices remove the containers of backup"]],
    );
    assert.equal((await createCronJob()).revision, 4n);
  });

  it("an update of a cron_job in which nothing differs raises its revision with redeploy alone", async () => {
    await createCronJob();
    assert.equal((await updateCronJob({ schedule: "@daily" }, ["schedule"])).revision, 1n);
    assert.equal((await updateCronJob({ schedule: "@daily" }, ["schedule"], true)).revision, 2n);
    assert.equal((await updateCronJob({}, [], true)).revision, 3n);
  });

  it("a cron_job with six schedule fields, or a schedule that never occurs, is refused", async () => {
    for (const schedule of ["0 0 0 * * *", "0 0 31 2 *", ""]) {
      await assert.rejects(
        createCronJob({ schedule }),
        (error) => isNebulaError(error, "invalid_argument") && error.violations[0]?.field === "schedule",
      );
    }
  });
});
