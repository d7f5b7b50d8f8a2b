import { type CronJob, CronOverlap } from "../../../gen/nebula/v1/cron_job_pb.ts";
import type { TextFlag } from "../command/flags.ts";
import { moreContainerFields, v2ContainerFields } from "./container-fields.ts";
import { envField, envFieldOfCreate, secretEnvField, secretEnvFieldOfCreate } from "./env-fields.ts";
import { type Field, field, textField } from "./field.ts";

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
    { name: "time-zone", placeholder: "ZONE", help: "The time zone of the schedule: Europe/Berlin. Default: that of the worker." },
    (timeZone) => ({ timeZone }),
  ),
  textField(
    "overlap",
    {
      name: "overlap",
      placeholder: "RULE",
      choices: Object.keys(OVERLAPS),
      help: "If a run is due while the previous one still runs: skip (default), replace, allow.",
    },
    (text) => ({
      overlap: OVERLAPS[text] ?? CronOverlap.UNSPECIFIED,
    }),
  ),
];

/** The fields that `cron-jobs create` sets. */
export const cronJobFieldsOfCreate: readonly Field<CronJob>[] = [
  ...ownFields,
  ...v2ContainerFields,
  envFieldOfCreate,
  secretEnvFieldOfCreate,
  ...moreContainerFields,
];
/** The fields that `cron-jobs update` changes. */
export const cronJobFieldsOfUpdate: readonly Field<CronJob>[] = [
  ...ownFields,
  ...v2ContainerFields,
  envField,
  secretEnvField,
  ...moreContainerFields,
];
