import { strict as assert } from "node:assert";
import { OPERATIONS } from "../gateway/v2/operations.ts";
import { invalid } from "./v2/invalid.ts";
import { describeRows, type Row, type RowCall } from "./v2/row.ts";
import { V2Client } from "./v2/v2-client.ts";

const GIVEN = { docker_image: "busybox:1", schedule: "*/5 6-20 * * *" };
const CREATE: RowCall = ["POST", "/cron_jobs/~clean", GIVEN];
const DEFAULTS = {
  cron_job_name: "~clean",
  cron_job_id: 1,
  ...GIVEN,
  running: true,
  env_vars: {},
  networks: ["nebula", "bridge"],
  volumes: [],
  devices: [],
  privileged: false,
};
const ALL = {
  docker_image: "shop:1",
  schedule: "@daily",
  running: false,
  env_vars: { A: "1" },
  networks: ["none"],
  volumes: ["data:/data"],
  devices: ["/dev/null"],
  privileged: true,
  time_zone: "Europe/Berlin",
  overlap: "replace",
  command: ["true"],
};
const BAD_SCHEDULE = { schedule_valid: false };

const TABLE: readonly Row[] = [
  {
    it: "GET /cron_jobs answers names",
    given: [CREATE],
    call: ["GET", "/cron_jobs"],
    status: 200,
    holds: (body) => assert.ok(Object(body).cron_jobs.includes("~clean")),
  },
  { it: "POST creates a cron_job with the defaults", call: CREATE, status: 200, answer: DEFAULTS },
  {
    it: "POST takes every field, ours too",
    call: ["POST", "/cron_jobs/~clean", ALL],
    status: 200,
    answer: { cron_job_name: "~clean", cron_job_id: 1, ...ALL },
  },
  { it: "POST refuses a second create", given: [CREATE], call: CREATE, status: 403, answer: { cron_job_exists: true } },
  {
    it: "POST refuses a create without its fields",
    call: ["POST", "/cron_jobs/~clean", {}],
    status: 400,
    answer: { missing_parameters: ["schedule", "docker_image"] },
  },
  {
    it: "POST refuses a create without a schedule",
    call: ["POST", "/cron_jobs/~clean", { docker_image: "a" }],
    status: 400,
    answer: { missing_parameters: ["schedule"] },
  },
  ...["soon", "*/5 * * * * *", "61 * * * *", "@sometimes", "", "0 0 31 2 *", 5, ["@daily"]].map(
    (schedule): Row => ({
      it: `POST refuses the schedule ${JSON.stringify(schedule)}`,
      call: ["POST", "/cron_jobs/~clean", { ...GIVEN, schedule }],
      status: 400,
      answer: BAD_SCHEDULE,
    }),
  ),
  {
    it: "POST refuses another field of a wrong type",
    call: ["POST", "/cron_jobs/~clean", { ...GIVEN, privileged: 1 }],
    status: 400,
    holds: invalid("privileged", /true or false/),
  },
  { it: "GET reads a cron_job", given: [CREATE], call: ["GET", "/cron_jobs/~clean"], status: 200, answer: DEFAULTS },
  { it: "GET refuses a cron_job that does not exist", call: ["GET", "/cron_jobs/~clean"], status: 403, answer: { cron_job_exists: false } },
  { it: "DELETE of a cron_job answers {}", given: [CREATE], call: ["DELETE", "/cron_jobs/~clean"], status: 200, answer: {} },
  { it: "DELETE refuses a cron_job that does not exist", call: ["DELETE", "/cron_jobs/~clean"], status: 403, answer: { cron_job_exists: false } },
  {
    it: "POST update replaces all",
    given: [["POST", "/cron_jobs/~clean", ALL]],
    call: ["POST", "/cron_jobs/~clean/update", GIVEN],
    status: 202,
    answer: { ...DEFAULTS, cron_job_id: 2 },
  },
  {
    it: "POST update where nothing differs raises the id all the same",
    given: [CREATE],
    call: ["POST", "/cron_jobs/~clean/update", GIVEN],
    status: 202,
    answer: { ...DEFAULTS, cron_job_id: 2 },
  },
  {
    it: "POST update refuses missing fields",
    given: [CREATE],
    call: ["POST", "/cron_jobs/~clean/update", { schedule: "@daily" }],
    status: 400,
    answer: { missing_parameters: ["docker_image"] },
  },
  {
    it: "POST update refuses a schedule",
    given: [CREATE],
    call: ["POST", "/cron_jobs/~clean/update", { ...GIVEN, schedule: "x" }],
    status: 400,
    answer: BAD_SCHEDULE,
  },
  {
    it: "POST update refuses a cron_job that does not exist",
    call: ["POST", "/cron_jobs/~clean/update", GIVEN],
    status: 403,
    answer: { cron_job_exists: false },
  },
  ...(["PUT", "PATCH"] as const).flatMap((method): Row[] => [
    {
      it: `${method} update changes only the given fields`,
      given: [["POST", "/cron_jobs/~clean", ALL]],
      call: [method, "/cron_jobs/~clean/update", { schedule: "@hourly" }],
      status: 202,
      answer: { cron_job_name: "~clean", ...ALL, cron_job_id: 2, schedule: "@hourly" },
    },
    {
      it: `${method} update where nothing differs raises the id all the same`,
      given: [CREATE],
      call: [method, "/cron_jobs/~clean/update", GIVEN],
      status: 202,
      answer: { ...DEFAULTS, cron_job_id: 2 },
    },
    {
      it: `${method} update with nothing is refused`,
      given: [CREATE],
      call: [method, "/cron_jobs/~clean/update", {}],
      status: 400,
      answer: { missing_parameters: true },
    },
    {
      it: `${method} update refuses a schedule`,
      given: [CREATE],
      call: [method, "/cron_jobs/~clean/update", { schedule: "x" }],
      status: 400,
      answer: BAD_SCHEDULE,
    },
    {
      it: `${method} update refuses a cron_job that does not exist`,
      call: [method, "/cron_jobs/~clean/update", GIVEN],
      status: 403,
      answer: { cron_job_exists: false },
    },
  ]),
];

describe("REST v2: cron_jobs", () => {
  const client = V2Client.describe();
  describeRows(client, TABLE);

  it("every answer that the document gives an operation of cron_jobs was seen", () => {
    const operations = OPERATIONS.filter(({ path }) => path.startsWith("/cron_jobs"));
    assert.ok(operations.length > 5);
    assert.deepEqual(
      operations.flatMap(({ method, path, answers }) => client.answers.unseen(method, path, answers)),
      [],
    );
  });
});
