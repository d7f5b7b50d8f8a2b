import { Cron } from "croner";
import { quote } from "./quote.ts";

/** When a cron_job runs. */
export type Schedule = Readonly<{
  /** The first run after this time, milliseconds since 1970; undefined: never. */
  next(afterMs: number): number | undefined;
}>;

export type ParsedSchedule = Readonly<{ kind: "schedule"; schedule: Schedule } | { kind: "invalid"; reason: string }>;

const NICKNAMES = ["@hourly", "@daily", "@midnight", "@weekly", "@monthly", "@yearly", "@annually"];
const FIELDS = ["minute (0 to 59)", "hour (0 to 23)", "day of month (1 to 31)", "month (1 to 12)", "day of week (0 to 7)"];
const EXAMPLE =
  "five fields (minute, hour, day of month, month, day of week) such as '*/15 6-20 * * *', or @hourly, @daily, @weekly, @monthly, @yearly would do";
/** Where the search for a run starts, so that the answer depends on the schedule alone. */
const SOME_TIME = Date.UTC(2024, 0, 1);

/**
 * Reads a schedule of five fields, or one of @hourly to @yearly. Day of month and day of week both given: either will do, as in every cron.
 * @param timeZone an IANA name; "" is the time zone of this process
 */
export function parseSchedule(text: string, timeZone: string): ParsedSchedule {
  const fields = text.trim().split(/\s+/);
  if (text.trim().startsWith("@")) {
    if (!NICKNAMES.includes(text.trim().toLowerCase())) return invalid(`${quote(text)} is no schedule; ${EXAMPLE}`);
  } else if (fields.length !== FIELDS.length) {
    const count = text.trim() === "" ? "empty" : fields.length === 1 ? "one field" : `${fields.length} fields`;
    return invalid(`${quote(text)} is ${count}; ${EXAMPLE}`);
  }
  const cron = parsed(fields.join(" "), timeZone);
  if (cron === undefined) return invalid(faultOf(text, fields));
  if (cron.nextRun(new Date(SOME_TIME)) === null) return invalid(`${quote(text)} never comes to pass; choose a day that the month has`);
  return { kind: "schedule", schedule: { next: (afterMs) => cron.nextRun(new Date(afterMs))?.getTime() } };
}

function parsed(pattern: string, timeZone: string): Cron | undefined {
  try {
    return new Cron(pattern, { mode: "5-part", paused: true, ...(timeZone === "" ? {} : { timezone: timeZone }) });
  } catch {
    return undefined; // faultOf finds the field and says it in our words
  }
}

function faultOf(text: string, fields: readonly string[]): string {
  const wrong = FIELDS.flatMap((name, index) => {
    const field = fields[index] ?? "*";
    return parsed(FIELDS.map((_, other) => (other === index ? field : "*")).join(" "), "") === undefined ? [`${quote(field)} is no ${name}`] : [];
  });
  return `${quote(text)} is no schedule: ${wrong.length > 0 ? wrong.join(", ") : "it can't be read"}; ${EXAMPLE}`;
}

function invalid(reason: string): ParsedSchedule {
  return { kind: "invalid", reason };
}
