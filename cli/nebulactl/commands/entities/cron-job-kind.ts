import { create } from "@bufbuild/protobuf";
import { type CronJob, CronJobSchema, CronJobService } from "../../../../gen/nebula/v1/cron_job_pb.ts";
import { answered, condition, type EntityCalls, type Kind, minRevisionOf } from "./kind.ts";

const cronJobCalls: EntityCalls<CronJob> = {
  async create({ client, signal }, cronJob, minimums = {}) {
    const answer = await (await client(CronJobService)).createCronJob({ cronJob, ...minRevisionOf(minimums) }, { signal });
    return { entity: answered(answer.cronJob, "cron_job"), warnings: answer.warnings };
  },
  async get({ client, signal }, name) {
    const answer = await (await client(CronJobService)).getCronJob({ name }, { signal });
    return { entity: answered(answer.cronJob, "cron_job"), lastChange: answer.lastChange };
  },
  async page({ client, signal }, pageSize, pageToken) {
    const { cronJobs, nextPageToken } = await (await client(CronJobService)).listCronJobs({ pageSize, pageToken }, { signal });
    return { items: cronJobs, nextPageToken };
  },
  async update({ client, signal }, { entity: cronJob, paths, ifRevision, redeploy = false, minimums = {} }) {
    const answer = await (await client(CronJobService)).updateCronJob(
      { cronJob, updateFields: [...paths], redeploy, ...condition(ifRevision), ...minRevisionOf(minimums) },
      { signal },
    );
    return { entity: answered(answer.cronJob, "cron_job"), warnings: answer.warnings };
  },
  async remove({ client, signal }, name, ifRevision) {
    const { revision, warnings } = await (await client(CronJobService)).deleteCronJob({ name, ...condition(ifRevision) }, { signal });
    return { revision, warnings };
  },
};

export const cronJobKind: Kind<CronJob> = {
  kind: "cron_job",
  calls: cronJobCalls,
  make: (name, fields) => Object.assign(create(CronJobSchema), fields, { name }),
  validate: async (entity) => (await import("../../../../common/validation/cron-job.ts")).validateWrittenCronJob(entity),
  toResource: (cronJob) => ({ kind: "cron_job", cronJob }),
};
