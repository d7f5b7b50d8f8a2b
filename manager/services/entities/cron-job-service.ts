import type { CronJob, CronJobService } from "../../../gen/nebula/v1/cron_job_pb.ts";
import { createEntity, deleteEntity, getEntity, listEntities, updateEntity } from "../../entities/entity-operations.ts";
import { CRON_JOB } from "../../entities/entity-type.ts";
import { warningsOfDelete, warningsOfMember } from "../../entities/group-warnings.ts";
import { warningsOfName } from "../../entities/name-warnings.ts";
import { type EntityDeps, EntityWriter } from "../../entities/write-entity.ts";
import type { CallContext, ServiceHandlers } from "../../rpc/call-context.ts";

/** CronJobService: what devices run on a schedule. */
export function createCronJobServiceHandlers(deps: EntityDeps): ServiceHandlers<typeof CronJobService> {
  const writer = new EntityWriter(CRON_JOB, deps);
  const warningsOf = ({ name }: CronJob, { principal }: CallContext) => warningsOfMember(deps, { kind: "cron_job", name }, principal);

  return {
    async createCronJob({ cronJob: given, minRevision }, context) {
      const { entity: cronJob } = await createEntity(writer, { given, minRevision }, context);
      const inOtherCase = await warningsOfName(deps, { kind: "cron_job", name: cronJob.name }, context.principal);
      return { cronJob, warnings: [...(await warningsOf(cronJob, context)), ...inOtherCase] };
    },

    async getCronJob({ name }, context) {
      const { entity: cronJob, lastChange } = await getEntity(writer, name, context);
      return { cronJob, lastChange };
    },

    async listCronJobs(request, context) {
      const { entities: cronJobs, nextPageToken } = await listEntities(writer, request, context);
      return { cronJobs, nextPageToken };
    },

    async updateCronJob({ cronJob: given, updateFields, ifRevision, redeploy, minRevision }, context) {
      const { entity: cronJob } = await updateEntity(writer, { given, updateFields, ifRevision, redeploy, minRevision }, context);
      return { cronJob, warnings: await warningsOf(cronJob, context) };
    },

    async deleteCronJob(request, context) {
      const { entity: cronJob } = await deleteEntity(writer, request, context);
      return { revision: cronJob.revision, warnings: await warningsOfDelete(deps, { kind: "cron_job", name: cronJob.name }, context.principal) };
    },
  };
}
