import { strict as assert } from "node:assert";
import { OPERATIONS } from "../gateway/v2/operations.ts";
import { invalid } from "./v2/invalid.ts";
import { describeRows, type Row, type RowCall } from "./v2/row.ts";
import { V2Client } from "./v2/v2-client.ts";

const WEB: RowCall = ["POST", "/apps/~web", { docker_image: "busybox:1" }];
const CLEAN: RowCall = ["POST", "/cron_jobs/~clean", { docker_image: "busybox:1", schedule: "@daily" }];
const MEMBERS = { apps: ["~web"], cron_jobs: ["~clean"] };
const EMPTY: RowCall = ["POST", "/device_groups/~shops", { apps: [] }];
const FULL: readonly RowCall[] = [WEB, CLEAN, ["POST", "/device_groups/~shops", MEMBERS]];
const SHOPS = { device_group: "~shops", device_group_id: 1, prune_id: 1, apps: [], cron_jobs: [] };

/** The refusals of members, however they are given. */
const refusedMembers = (method: string, path: string, given: readonly RowCall[]): Row[] => [
  {
    it: `${method} ${path} refuses an app that does not exist`,
    given,
    call: [method, path, { apps: ["~none"] }],
    status: 403,
    answer: { app_exists: false },
  },
  {
    it: `${method} ${path} refuses a cron_job that does not exist`,
    given,
    call: [method, path, { cron_jobs: ["~none"] }],
    status: 403,
    answer: { cron_job_exists: false },
  },
  {
    it: `${method} ${path} refuses apps that are not a list`,
    given,
    call: [method, path, { apps: "~web" }],
    status: 400,
    answer: { apps_is_list: false },
  },
  {
    it: `${method} ${path} refuses cron_jobs that are not a list`,
    given,
    call: [method, path, { cron_jobs: { a: 1 } }],
    status: 400,
    answer: { cron_jobs_is_list: false },
  },
  {
    it: `${method} ${path} refuses names that are not strings`,
    given,
    call: [method, path, { apps: [5] }],
    status: 400,
    holds: invalid("apps[0]", /use a string/),
  },
  {
    it: `${method} ${path} refuses an invalid name`,
    given,
    call: [method, path, { apps: ["no name"] }],
    status: 400,
    holds: invalid("apps[0]", /^invalid name "/),
  },
  {
    it: `${method} ${path} refuses a name twice`,
    given: [...given, WEB],
    call: [method, path, { apps: ["~web", "~web"] }],
    status: 400,
    holds: invalid("apps[1]", /already/),
  },
];

const TABLE: readonly Row[] = [
  {
    it: "GET /device_groups answers names",
    given: [EMPTY],
    call: ["GET", "/device_groups"],
    status: 200,
    holds: (body) => assert.ok(Object(body).device_groups.includes("~shops")),
  },
  {
    it: "POST creates a device_group, both ids are 1",
    given: [WEB, CLEAN],
    call: ["POST", "/device_groups/~shops", MEMBERS],
    status: 200,
    answer: { ...SHOPS, ...MEMBERS },
  },
  { it: "POST without cron_jobs has none", call: EMPTY, status: 200, answer: SHOPS },
  {
    it: "POST takes and shows a field that v2 lacks",
    call: ["POST", "/device_groups/~shops", { spread: 3 }],
    status: 200,
    answer: { ...SHOPS, spread: 3 },
  },
  { it: "POST refuses a second create", given: [EMPTY], call: EMPTY, status: 403, answer: { device_group_exists: true } },
  {
    it: "both ids continue after a delete",
    given: [EMPTY, ["POST", "/device_groups/~shops/prune"], ["DELETE", "/device_groups/~shops"]],
    call: EMPTY,
    status: 200,
    answer: { ...SHOPS, device_group_id: 4, prune_id: 2 },
  },
  ...refusedMembers("POST", "/device_groups/~shops", []),
  { it: "GET reads a device_group", given: FULL, call: ["GET", "/device_groups/~shops"], status: 200, answer: { ...SHOPS, ...MEMBERS } },
  {
    it: "GET refuses a device_group that does not exist",
    call: ["GET", "/device_groups/~shops"],
    status: 403,
    answer: { device_group_exists: false },
  },
  { it: "DELETE of a device_group answers {}", given: [EMPTY], call: ["DELETE", "/device_groups/~shops"], status: 200, answer: {} },
  {
    it: "DELETE refuses a device_group that does not exist",
    call: ["DELETE", "/device_groups/~shops"],
    status: 403,
    answer: { device_group_exists: false },
  },
  {
    it: "POST update replaces all",
    given: FULL,
    call: ["POST", "/device_groups/~shops/update", { apps: ["~web"] }],
    status: 202,
    answer: { ...SHOPS, device_group_id: 2, apps: ["~web"] },
  },
  {
    it: "POST update where nothing differs raises the id all the same",
    given: FULL,
    call: ["POST", "/device_groups/~shops/update", MEMBERS],
    status: 202,
    answer: { ...SHOPS, ...MEMBERS, device_group_id: 2 },
  },
  {
    it: "POST update of a device_group that does not exist says app_exists",
    given: [WEB],
    call: ["POST", "/device_groups/~shops/update", { apps: ["~web"] }],
    status: 403,
    answer: { app_exists: false },
  },
  {
    it: "POST update with nothing empties no group",
    given: FULL,
    call: ["POST", "/device_groups/~shops/update"],
    status: 400,
    answer: { missing_parameters: true },
  },
  ...refusedMembers("POST", "/device_groups/~shops/update", [EMPTY]),
  ...(["PUT", "PATCH"] as const).flatMap((method): Row[] => [
    {
      it: `${method} update changes only the given fields`,
      given: FULL,
      call: [method, "/device_groups/~shops/update", { apps: [] }],
      status: 202,
      answer: { ...SHOPS, device_group_id: 2, cron_jobs: ["~clean"] },
    },
    {
      it: `${method} update where nothing differs raises the id all the same`,
      given: FULL,
      call: [method, "/device_groups/~shops/update", MEMBERS],
      status: 202,
      answer: { ...SHOPS, ...MEMBERS, device_group_id: 2 },
    },
    {
      it: `${method} update with nothing is refused`,
      given: [EMPTY],
      call: [method, "/device_groups/~shops/update", {}],
      status: 400,
      answer: { missing_parameters: true },
    },
    {
      it: `${method} update refuses a device_group that does not exist`,
      call: [method, "/device_groups/~shops/update", { apps: [] }],
      status: 403,
      answer: { device_group_exists: false },
    },
    ...refusedMembers(method, "/device_groups/~shops/update", [EMPTY]),
  ]),
  {
    it: "POST prune raises prune_id",
    given: [EMPTY],
    call: ["POST", "/device_groups/~shops/prune"],
    status: 202,
    answer: { ...SHOPS, device_group_id: 2, prune_id: 2 },
  },
  {
    it: "POST prune of a device_group that does not exist says app_exists",
    call: ["POST", "/device_groups/~shops/prune"],
    status: 403,
    answer: { app_exists: false },
  },
  {
    it: "GET info answers the config that a device needs, secret variables among the others",
    given: [
      ["POST", "/apps/~web", { docker_image: "busybox:1", env_vars: { A: "1" }, secret_env_vars: { B: "2" }, memory_limit_mb: 64 }],
      CLEAN,
      ["POST", "/device_groups/~shops", MEMBERS],
    ],
    call: ["GET", "/device_groups/~shops/info"],
    status: 200,
    holds: (body) => {
      const { apps, cron_jobs, ...more } = Object(body);
      assert.deepEqual(more, { apps_list: ["~web"], cron_jobs_list: ["~clean"], prune_id: 1, device_group_id: 1 });
      assert.deepEqual([apps[0].app_name, apps[0].app_id, apps[0].env_vars, apps[0].memory_limit_mb], ["~web", 1, { A: "1", B: "2" }, 64]);
      assert.deepEqual([cron_jobs[0].cron_job_name, cron_jobs[0].cron_job_id], ["~clean", 1]);
    },
  },
  {
    it: "GET info leaves out a deleted app",
    given: [...FULL, ["DELETE", "/apps/~web"]],
    call: ["GET", "/device_groups/~shops/info"],
    status: 200,
    holds: (body) => assert.deepEqual([Object(body).apps, Object(body).apps_list], [[], []]),
  },
  {
    it: "GET info refuses a group that does not exist",
    call: ["GET", "/device_groups/~shops/info"],
    status: 403,
    answer: { device_group_exists: false },
  },
  {
    it: "POST /prune prunes all and answers their prune_ids",
    given: [EMPTY],
    call: ["POST", "/prune"],
    status: 202,
    holds: (body) => assert.equal(Object(body).prune_ids["~shops"], 2),
  },
];

describe("REST v2: device_groups", () => {
  const client = V2Client.describe();
  describeRows(client, TABLE);

  it("GET info answers 304 to the ETag that it gave", async () => {
    await client.send("POST", "/device_groups/polled", { body: {} });
    const { status, headers } = await client.send("GET", "/device_groups/polled/info");
    assert.equal(status, 200);
    const etag = headers.get("etag") ?? assert.fail("no ETag");
    const again = await client.send("GET", "/device_groups/polled/info", { headers: { "if-none-match": etag } });
    assert.deepEqual([again.status, again.text], [304, ""]);
  });

  it("every answer that the document gives an operation of device_groups was seen", () => {
    const operations = OPERATIONS.filter(({ path }) => path.startsWith("/device_groups") || path === "/prune");
    assert.ok(operations.length > 6);
    assert.deepEqual(
      operations.flatMap(({ method, path, answers }) => client.answers.unseen(method, path, answers)),
      [],
    );
  });
});
