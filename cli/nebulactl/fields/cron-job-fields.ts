import { type CronJob, CronOverlap } from "../../../gen/nebula/v1/cron_job_pb.ts";
import type { TextFlag } from "../command/flags.ts";
import { moreContainerFields, v2ContainerFields } from "./container-fields.ts";
import { envField, envFieldOfCreate } from "./env-field.ts";
import { type Field, field, textField } from "./field.ts";
import { secretEnvField, secretEnvFieldOfCreate } from "./secret-env-field.ts";

const OVERLAPS: Readonly<Record<string, CronOverlap>> = { skip: CronOverlap.SKIP, replace: CronOverlap.REPLACE, allow: CronOverlap.ALLOW };

export const SCHEDULE: TextFlag = {
  kind: "text",
  name: "schedule",
  short: "t",
  placeholder: '"*/5 * * * *"',
  help: "When it runs: five cron fields, or @hourly, @daily, @weekly, @monthly, @yearly.",
};

const ownFields: readonly Field<CronJob>[] = [
  field([SCHEDULE], "schedule", (values) => {
    const schedule = values.text(SCHEDULE);
    return schedule === undefined ? undefined : { schedule };
  }),
  textField(
    "time_zone",
    { name: "time-zone", placeholder: "ZONE", help: "The schedule's time zone: Europe/Berlin. Default: the worker's." },
    (timeZone) => ({ timeZone }),
  ),
  textField(
    "overlap",
    {
      name: "overlap",
      placeholder: "RULE",
      choices: Object.keys(OVERLAPS),
      help: "When a run is due while the one before goes on: skip (default), replace, allow.",
    },
    (text) => ({
      overlap: OVERLAPS[text] ?? CronOverlap.UNSPECIFIED,
    }),
  ),
];

/** What can be given for a cron_job when it is created. */
export const cronJobFieldsOfCreate: readonly Field<CronJob>[] = [
  ...ownFields,
  ...v2ContainerFields,
  envFieldOfCreate,
  secretEnvFieldOfCreate,
  ...moreContainerFields,
];
/** What can be changed of a cron_job. */
export const cronJobFieldsOfUpdate: readonly Field<CronJob>[] = [
  ...ownFields,
  ...v2ContainerFields,
  envField,
  secretEnvField,
  ...moreContainerFields,
];
