import { Cron } from "croner";
import { type CronJob, CronJobSchema } from "../../gen/nebula/v1/cron_job_pb.ts";
import type { Violation } from "../errors/nebula-error.ts";
import { quote } from "../text/wording.ts";
import { validateContainerFields } from "./container/container.ts";
import { validateKeys, validateShape, validateSize } from "./message-shape.ts";
import { validateName } from "./names.ts";
import { normaliseCronJob } from "./normal-form.ts";

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
      : [{ field: "time_zone", description: `invalid time zone ${quote(timeZone)}; use an IANA name such as Europe/Berlin or UTC` }]),
  ];
}

/** As validateCronJob, for what is about to be written: it refuses names, too, under which something may be stored already. */
export function validateWrittenCronJob(cronJob: CronJob): Violation[] {
  return [...validateKeys(CronJobSchema, cronJob), ...validateCronJob(cronJob)];
}

/** When a cron_job runs. */
export type Schedule = Readonly<{
  /** The first run after this time, milliseconds since 1970; undefined: never. */
  next(afterMs: number): number | undefined;
}>;

export type ParsedSchedule = Readonly<{ kind: "schedule"; schedule: Schedule } | { kind: "invalid"; reason: string }>;

const NICKNAMES = ["@hourly", "@daily", "@midnight", "@weekly", "@monthly", "@yearly", "@annually"];
const FIELDS = ["minute (0 to 59)", "hour (0 to 23)", "day of month (1 to 31)", "month (1 to 12)", "day of week (0 to 7)"];
const EXAMPLE =
  "five fields (minute, hour, day of month, month, day of week) such as '*/15 6-20 * * *', or @hourly, @daily, @weekly, @monthly, @yearly";
/** Where the search for a run starts, so that the answer depends on the schedule alone. */
const SOME_TIME = Date.UTC(2024, 0, 1);

/**
 * Reads a schedule of five fields, or one of @hourly to @yearly. Day of month and day of week both given: either will do, as in every cron.
 * @param timeZone an IANA name; "" is the time zone of this process
 */
export function parseSchedule(text: string, timeZone: string): ParsedSchedule {
  const fields = text.trim().split(/\s+/);
  if (text.trim().startsWith("@")) {
    if (!NICKNAMES.includes(text.trim().toLowerCase())) return invalid(`invalid schedule ${quote(text)}; use ${EXAMPLE}`);
  } else if (fields.length !== FIELDS.length) {
    const count = text.trim() === "" ? "empty" : fields.length === 1 ? "one field" : `${fields.length} fields`;
    return invalid(`invalid schedule ${quote(text)}: it is ${count}; use ${EXAMPLE}`);
  }
  const cron = parsed(fields.join(" "), timeZone);
  if (cron === undefined) return invalid(faultOf(text, fields));
  if (cron.nextRun(new Date(SOME_TIME)) === null) return invalid(`invalid schedule ${quote(text)}: it never occurs; use a day that the month has`);
  return { kind: "schedule", schedule: { next: (afterMs) => cron.nextRun(new Date(afterMs))?.getTime() } };
}

function parsed(pattern: string, timeZone: string): Cron | undefined {
  try {
    return new Cron(pattern, { mode: "5-part", paused: true, ...(timeZone === "" ? {} : { timezone: timeZone }) });
  } catch {
    return undefined; // faultOf finds the field
  }
}

function faultOf(text: string, fields: readonly string[]): string {
  const wrong = FIELDS.flatMap((name, index) => {
    const field = fields[index] ?? "*";
    return parsed(FIELDS.map((_, other) => (other === index ? field : "*")).join(" "), "") === undefined
      ? [`${quote(field)} is not a valid ${name}`]
      : [];
  });
  return `invalid schedule ${quote(text)}: ${wrong.length > 0 ? wrong.join(", ") : "it can't be read"}; use ${EXAMPLE}`;
}

function invalid(reason: string): ParsedSchedule {
  return { kind: "invalid", reason };
}

/** Whether this is the name of a time zone in the IANA database. */
export function isTimeZone(name: string): boolean {
  if (!/^[a-zA-Z]/.test(name)) return false; // offsets such as +01:00 know no daylight saving
  try {
    new Intl.DateTimeFormat("en", { timeZone: name });
    return true;
  } catch {
    return false;
  }
}
