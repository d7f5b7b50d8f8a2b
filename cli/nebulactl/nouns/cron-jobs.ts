import type { CronJob } from "../../../gen/nebula/v1/cron_job_pb.ts";
import type { Noun } from "../command/command.ts";
import type { TextFlag } from "../command/flags.ts";
import { cronJobKind } from "../entities/kind.ts";
import { IMAGE } from "../fields/container-fields.ts";
import { cronJobFieldsOfCreate, cronJobFieldsOfUpdate, SCHEDULE } from "../fields/cron-job-fields.ts";
import { entityNoun } from "./entity-noun.ts";
import { groupsWithCronJob } from "./in-use.ts";

const CRON_JOB: TextFlag = { kind: "text", name: "cron-job", short: "c", placeholder: "CRON_JOB", help: "The cron_job's name." };

/** Cron_jobs: what devices run on a schedule. */
export const cronJobs: Noun = entityNoun<CronJob>({
  kind: cronJobKind,
  name: "cron-jobs",
  aliases: ["cron-job"],
  summary: "Manages cron_jobs: what devices run on a schedule.",
  nameFlag: CRON_JOB,
  requiredAtCreate: [IMAGE, SCHEDULE],
  redeploys: true,
  fieldsOfCreate: cronJobFieldsOfCreate,
  fieldsOfUpdate: cronJobFieldsOfUpdate,
  header: ["CRON_JOB", "REVISION", "SCHEDULE", "TIME ZONE", "IMAGE", "RUNNING"],
  row: ({ name, revision, schedule, timeZone, dockerImage, running }) => [
    name,
    String(revision),
    schedule,
    timeZone,
    dockerImage,
    running === false ? "no" : "yes",
  ],
  examples: {
    create: ['nebulactl cron-jobs create backup --image backup:1 --schedule "0 3 * * *" --time-zone Europe/Berlin'],
    update: ["nebulactl cron-jobs update backup --schedule @daily", "nebulactl cron_jobs update --cron_job backup --stopped"],
  },
  findUse: groupsWithCronJob,
  moreVerbs: [],
});
