import { strict as assert } from "node:assert";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { CronJobSchema } from "../../gen/nebula/v1/cron_job_pb.ts";
import { parseSchedule, validateCronJob } from "./cron-job.ts";

const violations = (fields: MessageInitShape<typeof CronJobSchema>) =>
  validateCronJob(create(CronJobSchema, { name: "backup", dockerImage: "backup:1", schedule: "@daily", ...fields }));

describe("a cron_job", () => {
  const schedules = [
    ..."* * * * *|*/15 6-20 * * *|0 0 L * *|0 0 29 2 *|0 0 30 2 MON|0 8 * JAN-MAR mon-fri|0 0 * * 7| 5  4 * * * |0 0 ? * FRI#2".split("|"),
    ..."@hourly|@daily|@midnight|@weekly|@monthly|@yearly|@annually|@DAILY".split("|"),
  ];
  for (const schedule of schedules) it(`a cron_job may run at ${schedule}`, () => assert.deepEqual(violations({ schedule }), []));

  const refused: Readonly<Record<string, RegExp>> = {
    "": /is empty; use five fields/,
    "0 * * *": /4 fields/,
    "0 0 0 * * *": /6 fields; use five fields/,
    "0 0 0 1 1 * 2026": /7 fields/,
    "61 * * * *": /"61" is not a valid minute \(0 to 59\)/,
    "0 25 * * 9": /"25" is not a valid hour \(0 to 23\), "9" is not a valid day of week/,
    "a b c d e": /"a" is not a valid minute/,
    "5/5 * * * *": /"5\/5" is not a valid minute/,
    "0 0 30 2 *": /never occurs/,
    "0 0 31 4,6,9,11 *": /never occurs/,
    "@reboot": /invalid schedule "@[a-z 0-9]+"; use five fields/,
    "@every 5m": /invalid schedule "@[a-z 0-9]+"; use five fields/,
    "2026-01-01T00:00:00": /one field/,
  };
  for (const [schedule, words] of Object.entries(refused)) {
    it(`a cron_job may not run at ${JSON.stringify(schedule)}`, () => {
      const found = violations({ schedule });
      assert.deepEqual(
        found.map(({ field }) => field),
        ["schedule"],
      );
      assert.match(found[0]?.description ?? "", words);
    });
  }

  it("a cron_job may have a time zone by name", () => {
    for (const timeZone of ["Europe/Berlin", "UTC", "America/Argentina/Buenos_Aires"]) assert.deepEqual(violations({ timeZone }), []);
  });

  it("a cron_job may not have an unknown time zone, or an offset", () => {
    for (const timeZone of ["Europe/Atlantis", "+01:00", " UTC", "x".repeat(5000)]) {
      assert.deepEqual(
        violations({ timeZone }).map(({ field }) => field),
        ["time_zone"],
      );
    }
  });

  it("a cron_job is held to the rules of its container", () => {
    const found = violations({
      dockerImage: "",
      networks: ["a b"],
      volumes: ["x"],
      labels: { cron_job_name: "x" },
    });
    assert.deepEqual(
      found.map(({ field }) => field),
      ["docker_image", "networks[0]", "volumes[0]", "labels.cron_job_name"],
    );
    assert.deepEqual(
      violations({ dockerImage: "", envVars: { A: "x".repeat(70_000) } }).map(({ field }) => field),
      ["cron_job"],
    );
  });
});

function runs(text: string, timeZone: string, from: string, count: number): string[] {
  const parsed = parseSchedule(text, timeZone);
  assert.ok(parsed.kind === "schedule");
  const times: string[] = [];
  for (let at = Date.parse(from); times.length < count; ) {
    const next = parsed.schedule.next(at);
    if (next === undefined) break;
    times.push(new Date(next).toISOString());
    at = next;
  }
  return times;
}

describe("a schedule", () => {
  it("a schedule runs strictly after the time given", () => {
    assert.deepEqual(runs("*/30 * * * *", "UTC", "2026-01-01T00:00:00Z", 2), ["2026-01-01T00:30:00.000Z", "2026-01-01T01:00:00.000Z"]);
  });

  it("a schedule follows its own time zone, daylight saving included", () => {
    assert.deepEqual(runs("0 6 28-29 3 *", "Europe/Berlin", "2026-03-01T00:00:00Z", 2), ["2026-03-28T05:00:00.000Z", "2026-03-29T04:00:00.000Z"]);
  });

  it("a schedule runs when the day of the month or the day of the week fits", () => {
    assert.deepEqual(runs("0 0 1 * MON", "UTC", "2026-01-01T12:00:00Z", 2), ["2026-01-05T00:00:00.000Z", "2026-01-12T00:00:00.000Z"]);
    assert.deepEqual(runs("0 0 13 * MON", "UTC", "2026-01-12T12:00:00Z", 1), ["2026-01-13T00:00:00.000Z"]);
  });
});
