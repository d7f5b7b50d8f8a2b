import { strict as assert } from "node:assert";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { CronJobSchema } from "../../gen/nebula/v1/cron_job_pb.ts";
import { validateCronJob } from "./cron-job.ts";

const violations = (fields: MessageInitShape<typeof CronJobSchema>) =>
  validateCronJob(create(CronJobSchema, { name: "backup", dockerImage: "backup:1", schedule: "@daily", ...fields }));

describe("a cron_job", () => {
  const schedules = [
    ..."* * * * *|*/15 6-20 * * *|0 0 L * *|0 0 29 2 *|0 0 30 2 MON|0 8 * JAN-MAR mon-fri|0 0 * * 7| 5  4 * * * |0 0 ? * FRI#2".split("|"),
    ..."@hourly|@daily|@midnight|@weekly|@monthly|@yearly|@annually|@DAILY".split("|"),
  ];
  for (const schedule of schedules) it(`may run at ${schedule}`, () => assert.deepEqual(violations({ schedule }), []));

  const refused: Readonly<Record<string, RegExp>> = {
    "": /is empty; five fields/,
    "0 * * *": /4 fields/,
    "0 0 0 * * *": /6 fields; five fields/,
    "0 0 0 1 1 * 2026": /7 fields/,
    "61 * * * *": /"61" is no minute \(0 to 59\)/,
    "0 25 * * 9": /"25" is no hour \(0 to 23\), "9" is no day of week/,
    "a b c d e": /"a" is no minute/,
    "5/5 * * * *": /"5\/5" is no minute/,
    "0 0 30 2 *": /never comes to pass/,
    "0 0 31 4,6,9,11 *": /never comes to pass/,
    "@reboot": /no schedule; five fields/,
    "@every 5m": /no schedule; five fields/,
    "2026-01-01T00:00:00": /one field/,
  };
  for (const [schedule, words] of Object.entries(refused)) {
    it(`may not run at ${JSON.stringify(schedule)}`, () => {
      const found = violations({ schedule });
      assert.deepEqual(
        found.map(({ field }) => field),
        ["schedule"],
      );
      assert.match(found[0]?.description ?? "", words);
    });
  }

  it("may have a time zone by name", () => {
    for (const timeZone of ["Europe/Berlin", "UTC", "America/Argentina/Buenos_Aires"]) assert.deepEqual(violations({ timeZone }), []);
  });

  it("may not have one that nobody knows, or an offset", () => {
    for (const timeZone of ["Europe/Atlantis", "+01:00", " UTC", "x".repeat(5000)]) {
      assert.deepEqual(
        violations({ timeZone }).map(({ field }) => field),
        ["time_zone"],
      );
    }
  });

  it("is held to what its container may be", () => {
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
