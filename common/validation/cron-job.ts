import { type CronJob, CronJobSchema } from "../../gen/nebula/v1/cron_job_pb.ts";
import type { Violation } from "../errors/nebula-error.ts";
import { validateContainerFields } from "./container-fields.ts";
import { validateKeys, validateShape } from "./message-shape.ts";
import { validateName } from "./name.ts";
import { normaliseCronJob } from "./normal-form.ts";
import { quote } from "./quote.ts";
import { parseSchedule } from "./schedule.ts";
import { validateSize } from "./size.ts";
import { isTimeZone } from "./time-zone.ts";

/** Everything that is wrong with a cron_job; empty: it can be stored, and run. */
export function validateCronJob(cronJob: CronJob): Violation[] {
  const size = validateSize("cron_job", CronJobSchema, cronJob, normaliseCronJob);
  if (size.length > 0) return [...validateName(cronJob.name), ...size]; // megabytes of faults would take seconds to tell, and hold up every other call
  return [
    ...validateName(cronJob.name),
    ...validateShape(CronJobSchema, cronJob),
    ...validateContainerFields(cronJob),
    ...scheduleViolations(cronJob),
  ];
}

function scheduleViolations({ schedule, timeZone }: CronJob): Violation[] {
  const zoneIsKnown = timeZone === "" || isTimeZone(timeZone);
  const parsed = parseSchedule(schedule, zoneIsKnown ? timeZone : "");
  return [
    ...(parsed.kind === "invalid" ? [{ field: "schedule", description: parsed.reason }] : []),
    ...(zoneIsKnown
      ? []
      : [{ field: "time_zone", description: `${quote(timeZone)} is no time zone; an IANA name such as Europe/Berlin or UTC would do` }]),
  ];
}

/** As validateCronJob, for what is about to be written: it refuses names, too, under which something may be stored already. */
export function validateWrittenCronJob(cronJob: CronJob): Violation[] {
  return [...validateKeys(CronJobSchema, cronJob), ...validateCronJob(cronJob)];
}
