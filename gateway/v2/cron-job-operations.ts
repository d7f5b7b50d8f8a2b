import type { JsonObject } from "@bufbuild/protobuf";
import { cronJobFromV2 } from "../../common/v2/entity-from-v2.ts";
import { cronJobToV2 } from "../../common/v2/entity-to-v2.ts";
import { type CronJob, CronJobService } from "../../gen/nebula/v1/cron_job_pb.ts";
import { entityOperations, MISSING_PARAMETERS, refusal } from "./entity-operations.ts";
import type { Operation } from "./operation.ts";
import { CRON_JOBS, present, refuseFaults, refuseMissing } from "./v2-answers.ts";

const { createCronJob, getCronJob, listCronJobs, updateCronJob, deleteCronJob } = CronJobService.method;
const REQUIRED = ["schedule", "docker_image"];
const MISSING = { cron_job_exists: false };

export const CRON_JOB_OPERATIONS: readonly Operation[] = entityOperations({
  noun: CRON_JOBS,
  async list(call, page) {
    const { cronJobs, nextPageToken } = await call(listCronJobs, page);
    return { names: cronJobs.map(({ name }) => name), nextPageToken };
  },
  get: async (call, name) => shown(await call(getCronJob, { name })),
  create: async (call, name, body) => shown(await call(createCronJob, { cronJob: wholeCronJob(name, body) })),
  remove: (call, name) => call(deleteCronJob, { name }),
  async change(call, name, body) {
    const { message: cronJob, given, faults } = cronJobFromV2(name, body);
    refuseFaults(faults);
    return shown(await call(updateCronJob, { cronJob, updateFields: [...given], redeploy: true }));
  },
  async replace(call, name, body) {
    return shown(await call(updateCronJob, { cronJob: wholeCronJob(name, body), updateFields: ["*"], redeploy: true }));
  },
  updated: { status: 202, missing: { change: MISSING, replace: MISSING } },
  refusals: { given: [refusal(400, "The schedule is invalid.", { schedule_valid: false })], whole: [MISSING_PARAMETERS] },
});

function wholeCronJob(name: string, body: JsonObject): CronJob {
  refuseMissing(body, REQUIRED);
  const { message, faults } = cronJobFromV2(name, body);
  refuseFaults(faults);
  return message;
}

function shown({ cronJob }: Readonly<{ cronJob?: CronJob | undefined }>): JsonObject {
  return cronJobToV2(present(cronJob, "cron_job"));
}
