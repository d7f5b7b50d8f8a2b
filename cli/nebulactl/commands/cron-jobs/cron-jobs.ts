import type { CronJob } from "../../../../gen/nebula/v1/cron_job_pb.ts";
import type { Noun } from "../../command/command.ts";
import type { TextFlag } from "../../command/flags.ts";
import { cronJobKind } from "../entities/cron-job-kind.ts";
import { entityNoun } from "../entities/noun.ts";

const CRON_JOB: TextFlag = {
  kind: "text",
  name: "cron-job",
  short: "c",
  placeholder: "CRON_JOB",
  offers: { names: "cron_job" },
  help: "The name of the cron_job.",
};

/** Cron_jobs: what devices run on a schedule. */
export const cronJobs: Noun = entityNoun<CronJob>({
  kind: cronJobKind,
  name: "cron-jobs",
  aliases: ["cron-job"],
  summary: "Manages cron_jobs: what devices run on a schedule.",
  exampleName: "nightly-export",
  nameFlag: CRON_JOB,
  header: ["CRON_JOB", "REVISION", "SCHEDULE", "TIME ZONE", "IMAGE", "RUNNING"],
  row: ({ name, revision, schedule, timeZone, dockerImage, running }) => [
    name,
    String(revision),
    schedule,
    timeZone,
    dockerImage,
    running === false ? "no" : "yes",
  ],
  async changes() {
    const [fields, { groupsWithCronJob }, { IMAGE }] = await Promise.all([
      import("../../fields/cron-job-fields.ts"),
      import("../entities/in-use.ts"),
      import("../../fields/container-fields.ts"),
    ]);
    return {
      requiredAtCreate: [IMAGE, fields.SCHEDULE],
      redeploys: true,
      fieldsOfCreate: fields.cronJobFieldsOfCreate,
      fieldsOfUpdate: fields.cronJobFieldsOfUpdate,
      findUse: groupsWithCronJob,
      examples: {
        create: ['nebulactl cron-jobs create backup --image backup:1 --schedule "0 3 * * *" --time-zone Europe/Berlin'],
        update: ["nebulactl cron-jobs update backup --schedule @daily", "nebulactl cron-jobs update --cron-job backup --stopped"],
      },
    };
  },
  moreVerbs: [],
});
