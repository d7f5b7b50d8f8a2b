import { strict as assert } from "node:assert";
import { withoutId } from "./v2/row.ts";
import { V2Client } from "./v2/v2-client.ts";

type CliRow = Readonly<{
  /** The command line of the original's CLI. */
  command: string;
  method: "GET" | "POST" | "PUT" | "DELETE";
  path: string;
  /** The body that the flags produce. */
  body?: unknown;
  status: number;
  /** The whole answer but for `_id`, or what holds of it. */
  answer: unknown;
}>;

const APP = {
  app_name: "web",
  app_id: 1,
  docker_image: "shop:1",
  running: true,
  starting_ports: [{ "8080": "80" }, 443],
  containers_per: { server: 1 },
  env_vars: { REGION: "eu", COLOUR: "blue" },
  networks: ["nebula"],
  volumes: [],
  devices: [],
  privileged: false,
  rolling_restart: false,
};
const SENT = {
  starting_ports: [{ "8080": "80" }, { "443": "443" }],
  containers_per: { server: 1 },
  env_vars: { REGION: "eu", COLOUR: "blue" },
  docker_image: "shop:1",
  running: true,
  privileged: false,
  rolling_restart: false,
};
const CREATE = "apps create -a web -p 8080:80,443:443 -c server:1 -e REGION:eu,COLOUR:blue -i shop:1";
const SWITCHES_OFF = { running: false, rolling_restart: false, privileged: false };
const CRON_JOB = {
  cron_job_name: "clean",
  cron_job_id: 1,
  schedule: "0 * * * *",
  docker_image: "shop:1",
  running: true,
  env_vars: {},
  networks: ["nebula", "bridge"],
  volumes: [],
  devices: [],
  privileged: false,
};
const GROUP = { device_group: "shops", device_group_id: 1, prune_id: 1, apps: ["web", "db"], cron_jobs: [] };
const USER_GROUP = {
  user_group: "crew",
  group_members: ["ann", "bob"],
  pruning_allowed: false,
  apps: { web: "rw", db: "ro" },
  device_groups: { shops: "ro" },
  cron_jobs: {},
  admin: false,
};
const MEMBERS_SENT = { group_members: "ann,bob", pruning_allowed: false, apps: "web:rw,db", device_groups: "shops:ro", admin: false };
const LOGIN = { password: "a user's password", token: "a-users-token-in-clear" };

/** In the order in which they are typed. */
const TABLE: readonly CliRow[] = [
  { command: "ping", method: "GET", path: "/status", status: 200, answer: { api_available: true } },
  { command: "apps list", method: "GET", path: "/apps", status: 200, answer: { apps: [] } },
  ...(
    [
      // what each version of the CLI and of its option parser makes of lists that are not given, and of those that are
      ["", { networks: "", volumes: "[]", devices: "[]" }, {}],
      [' -n "" -v "" -d ""', { networks: [""], volumes: [""], devices: "" }, {}],
      [" -v []", { networks: [""], volumes: ["[]"], devices: "[]" }, {}],
      [
        " -n nebula,shop -v /a:/b:ro,/c:/d -d /dev/null:/dev/x,/dev/zero:/dev/y",
        { networks: ["nebula", "shop"], volumes: ["/a:/b:ro", "/c:/d"], devices: "/dev/null:/dev/x,/dev/zero:/dev/y" },
        { networks: ["nebula", "shop"], volumes: ["/a:/b:ro", "/c:/d"], devices: ["/dev/null:/dev/x", "/dev/zero:/dev/y"] },
      ],
      [
        " -n host -v /a:/b:ro, as one text",
        { networks: "host", volumes: "/a:/b:ro", devices: "/dev/null:/dev/x" },
        { networks: ["host"], volumes: ["/a:/b:ro"], devices: ["/dev/null:/dev/x"] },
      ],
    ] as const
  ).flatMap(([flags, lists, shown], index): CliRow[] => {
    const app = `form-${index}`;
    const answer = { ...APP, app_name: app, ...shown };
    return [
      { command: `${CREATE}${flags}`, method: "POST", path: `/apps/${app}`, body: { ...SENT, ...lists }, status: 200, answer },
      { command: `apps info -a ${app}`, method: "GET", path: `/apps/${app}`, status: 200, answer },
      { command: `apps delete -a ${app} --yes`, method: "DELETE", path: `/apps/${app}`, status: 200, answer: {} },
    ];
  }),
  { command: CREATE, method: "POST", path: "/apps/web", body: { ...SENT, networks: [""], volumes: "[]", devices: "[]" }, status: 200, answer: APP },
  {
    command: `${CREATE}, once more`,
    method: "POST",
    path: "/apps/web",
    body: { ...SENT, networks: [""], volumes: "[]", devices: "[]" },
    status: 403,
    answer: { app_exists: true },
  },
  {
    command: "apps create -a db ...",
    method: "POST",
    path: "/apps/db",
    body: { ...SENT, networks: "", volumes: "", devices: "" },
    status: 200,
    answer: { ...APP, app_name: "db" },
  },
  {
    command: "apps create -a wrong -d no-path ...",
    method: "POST",
    path: "/apps/wrong",
    body: { ...SENT, devices: "no-path" },
    status: 400,
    answer: (body: unknown) => assert.deepEqual(Object.keys(Object(body).invalid_parameters), ["devices[0]"]),
  },
  { command: "apps info -a none", method: "GET", path: "/apps/none", status: 403, answer: { app_exists: false } },
  { command: "apps stop -a web", method: "POST", path: "/apps/web/stop", status: 202, answer: { ...APP, app_id: 2, running: false } },
  {
    command: "apps restart -a web, while it is stopped",
    method: "POST",
    path: "/apps/web/restart",
    status: 403,
    answer: { running_before_restart: false },
  },
  { command: "apps start -a web", method: "POST", path: "/apps/web/start", status: 202, answer: { ...APP, app_id: 3 } },
  { command: "apps restart -a web", method: "POST", path: "/apps/web/restart", status: 202, answer: { ...APP, app_id: 4 } },
  {
    command: "apps update -a web -i shop:2 -r -R -P",
    method: "PUT",
    path: "/apps/web/update",
    body: { docker_image: "shop:2", running: true, rolling_restart: true, privileged: true },
    status: 202,
    answer: { ...APP, app_id: 5, docker_image: "shop:2", rolling_restart: true, privileged: true },
  },
  {
    command: "apps update -a web -p 81:80 -c cpu:2 -e A:b -n a,b -v /a:/b -d /dev/null:/dev/x, with a newer option parser",
    method: "PUT",
    path: "/apps/web/update",
    body: {
      ...SWITCHES_OFF,
      starting_ports: [{ "81": "80" }],
      containers_per: { cpu: 2 },
      env_vars: { A: "b" },
      networks: ["a", "b"],
      volumes: ["/a:/b"],
      devices: ["/dev/null:/dev/x"],
    },
    status: 202,
    answer: {
      ...APP,
      ...SWITCHES_OFF,
      app_id: 6,
      docker_image: "shop:2",
      starting_ports: [{ "81": "80" }],
      containers_per: { cpu: 2 },
      env_vars: { A: "b" },
      networks: ["a", "b"],
      volumes: ["/a:/b"],
      devices: ["/dev/null:/dev/x"],
    },
  },
  {
    command: "apps update -a web -r -n [] -v [] -d []",
    method: "PUT",
    path: "/apps/web/update",
    body: { running: true, networks: [], volumes: [], devices: [] },
    status: 202,
    answer: { ...APP, app_id: 7, docker_image: "shop:2", starting_ports: [{ "81": "80" }], containers_per: { cpu: 2 }, env_vars: { A: "b" } },
  },
  {
    command: 'apps update -a web -n "" -v "" -d ""',
    method: "PUT",
    path: "/apps/web/update",
    body: { networks: [""], volumes: [""], devices: [""] },
    status: 202,
    answer: { ...APP, app_id: 8, docker_image: "shop:2", starting_ports: [{ "81": "80" }], containers_per: { cpu: 2 }, env_vars: { A: "b" } },
  },
  { command: "apps update -a web", method: "PUT", path: "/apps/web/update", body: {}, status: 400, answer: { missing_parameters: true } },
  {
    command: "apps update -a none -r",
    method: "PUT",
    path: "/apps/none/update",
    body: { running: true },
    status: 403,
    answer: { app_exists: false },
  },
  { command: "cron-jobs list", method: "GET", path: "/cron_jobs", status: 200, answer: { cron_jobs: [] } },
  {
    command: "cron-jobs create -c clean -t '0 * * * *' -i shop:1",
    method: "POST",
    path: "/cron_jobs/clean",
    body: {
      schedule: "0 * * * *",
      docker_image: "shop:1",
      env_vars: {},
      running: true,
      networks: "",
      volumes: "[]",
      devices: "[]",
      privileged: false,
    },
    status: 200,
    answer: { ...CRON_JOB, networks: ["nebula"] },
  },
  { command: "cron-jobs info -c clean", method: "GET", path: "/cron_jobs/clean", status: 200, answer: { ...CRON_JOB, networks: ["nebula"] } },
  {
    command: "cron-jobs update -c clean -t '5 * * * *' -n a -v /a:/b -d /dev/null:/dev/x -s",
    method: "PUT",
    path: "/cron_jobs/clean/update",
    body: { schedule: "5 * * * *", running: false, networks: ["a"], volumes: ["/a:/b"], devices: ["/dev/null:/dev/x"], privileged: false },
    status: 202,
    answer: {
      ...CRON_JOB,
      cron_job_id: 2,
      schedule: "5 * * * *",
      running: false,
      networks: ["a"],
      volumes: ["/a:/b"],
      devices: ["/dev/null:/dev/x"],
    },
  },
  { command: "cron-jobs delete -c clean, which deletes an app", method: "DELETE", path: "/apps/clean", status: 403, answer: { app_exists: false } },
  { command: "device-groups list", method: "GET", path: "/device_groups", status: 200, answer: { device_groups: [] } },
  {
    command: "device-groups create -d shops -a web,db -c clean, with the cron_jobs as text",
    method: "POST",
    path: "/device_groups/shops",
    body: { apps: ["web", "db"], cron_jobs: "clean" },
    status: 400,
    answer: { cron_jobs_is_list: false },
  },
  {
    command: "device-groups create -d shops -a web,db, as text",
    method: "POST",
    path: "/device_groups/shops",
    body: { apps: "web,db" },
    status: 400,
    answer: { apps_is_list: false },
  },
  {
    command: "device-groups create -d shops -a web,db",
    method: "POST",
    path: "/device_groups/shops",
    body: { apps: ["web", "db"] },
    status: 200,
    answer: GROUP,
  },
  {
    command: "device-groups create -d shops -a web",
    method: "POST",
    path: "/device_groups/shops",
    body: { apps: ["web"] },
    status: 403,
    answer: { device_group_exists: true },
  },
  {
    command: "device-groups create -d other -a none",
    method: "POST",
    path: "/device_groups/other",
    body: { apps: ["none"] },
    status: 403,
    answer: { app_exists: false },
  },
  { command: "device-groups info -d shops", method: "GET", path: "/device_groups/shops", status: 200, answer: GROUP },
  {
    command: "device-groups update -d shops -a db",
    method: "PUT",
    path: "/device_groups/shops/update",
    body: { apps: ["db"] },
    status: 202,
    answer: { ...GROUP, device_group_id: 2, apps: ["db"] },
  },
  {
    command: "prune device_group -d shops",
    method: "POST",
    path: "/device_groups/shops/prune",
    status: 202,
    answer: { ...GROUP, device_group_id: 3, prune_id: 2, apps: ["db"] },
  },
  { command: "prune all", method: "POST", path: "/prune", status: 202, answer: { prune_ids: { shops: 3 } } },
  {
    command: "reports -p 20 -f gt",
    method: "GET",
    path: "/reports?page_size=20&report_creation_time_filter=gt",
    status: 200,
    answer: { data: null, last_id: null },
  },
  {
    command: "reports -h pos-1 -d shops -r 1600000000 -f lt -u True",
    method: "GET",
    path: "/reports?page_size=20&hostname=pos-1&device_group=shops&report_creation_time=1600000000&report_creation_time_filter=lt&updated=True",
    status: 200,
    answer: { data: null, last_id: null },
  },
  { command: "users list", method: "GET", path: "/users", status: 200, answer: { users: [] } },
  { command: "users create -u ann -p ... -t ...", method: "POST", path: "/users/ann", body: LOGIN, status: 200, answer: named("ann") },
  { command: "users create -u ann -p ... -t ...", method: "POST", path: "/users/ann", body: LOGIN, status: 403, answer: { user_exists: true } },
  { command: "users info -u ann", method: "GET", path: "/users/ann", status: 200, answer: named("ann") },
  {
    command: "users update -u ann -p ... -t ...",
    method: "PUT",
    path: "/users/ann/update",
    body: { ...LOGIN, password: "another password" },
    status: 200,
    answer: named("ann"),
  },
  {
    command: "users update -u none -p ... -t ...",
    method: "PUT",
    path: "/users/none/update",
    body: LOGIN,
    status: 403,
    answer: { user_name: false },
  },
  {
    command: "users refresh -u ann",
    method: "POST",
    path: "/users/ann/refresh",
    status: 200,
    answer: (body: unknown) => assert.match(Object(body).token, /^[\w-]{32,}$/),
  },
  { command: "user-groups list", method: "GET", path: "/user_groups", status: 200, answer: { user_groups: [] } },
  {
    command: "user-groups create -g crew -m ann,bob -a web:rw,db -d shops:ro",
    method: "POST",
    path: "/user_groups/crew",
    body: MEMBERS_SENT,
    status: 200,
    answer: USER_GROUP,
  },
  {
    command: "user-groups create -g crew ...",
    method: "POST",
    path: "/user_groups/crew",
    body: MEMBERS_SENT,
    status: 403,
    answer: { user_group_exists: true },
  },
  { command: "user-groups info -g crew", method: "GET", path: "/user_groups/crew", status: 200, answer: USER_GROUP },
  ...["", "[]", "{}"].flatMap((nothing, index): CliRow[] => [
    {
      command: `user-groups create -g empty, with ${JSON.stringify(nothing)} as what is not given`,
      method: "POST",
      path: `/user_groups/empty-${index}`,
      body: { group_members: nothing === "{}" ? "[]" : nothing, pruning_allowed: true, apps: nothing, device_groups: nothing, admin: true },
      status: 200,
      answer: { ...USER_GROUP, user_group: `empty-${index}`, group_members: [], apps: {}, device_groups: {}, pruning_allowed: true, admin: true },
    },
    { command: `user-groups delete -g empty-${index} --yes`, method: "DELETE", path: `/user_groups/empty-${index}`, status: 200, answer: {} },
  ]),
  {
    command: "user-groups create -g wrong -a web:write",
    method: "POST",
    path: "/user_groups/wrong",
    body: { ...MEMBERS_SENT, apps: "web:write" },
    status: 400,
    answer: (body: unknown) => assert.deepEqual(Object.keys(Object(body).invalid_parameters), ["apps.web"]),
  },
  {
    command: "user-groups update -g crew -m ann, which creates without a value",
    method: "POST",
    path: "/user_groups/crew",
    body: {},
    status: 403,
    answer: { user_group_exists: true },
  },
  {
    command: "user-groups update -g newcomers -m ann",
    method: "POST",
    path: "/user_groups/newcomers",
    body: {},
    status: 200,
    answer: { ...USER_GROUP, user_group: "newcomers", group_members: [], apps: {}, device_groups: {} },
  },
  {
    command: "user-groups update, of a version that sends its flags",
    method: "PUT",
    path: "/user_groups/crew/update",
    body: { group_members: "bob", apps: "db:rw" },
    status: 200,
    answer: { ...USER_GROUP, group_members: ["bob"], apps: { db: "rw" } },
  },
  { command: "user-groups delete -g crew --yes", method: "DELETE", path: "/user_groups/crew", status: 200, answer: {} },
  { command: "users delete -u ann --yes", method: "DELETE", path: "/users/ann", status: 200, answer: {} },
  { command: "users delete -u ann --yes", method: "DELETE", path: "/users/ann", status: 403, answer: { user_exists: false } },
  { command: "device-groups delete -d shops --yes", method: "DELETE", path: "/device_groups/shops", status: 200, answer: {} },
  { command: "apps delete -a web --yes", method: "DELETE", path: "/apps/web", status: 200, answer: {} },
  { command: "apps delete -a web --yes", method: "DELETE", path: "/apps/web", status: 403, answer: { app_exists: false } },
];

function named(name: string): (body: unknown) => void {
  return (body) => {
    assert.equal(Object(body).user_name, name);
    assert.match(Object(body).password, /^\$argon2id\$/);
  };
}

describe("the original's CLI", () => {
  const client = V2Client.describe();

  for (const { command, method, path, body, status, answer } of TABLE) {
    it(`gets what it got from the original: ${command}`, async () => {
      const headers = { "content-type": "application/json", "cache-control": "no-cache" }; // as its SDK sends them
      const got = await client.send(method, path, body === undefined ? { headers } : { body, headers });
      assert.equal(got.status, status, got.text);
      if (typeof answer === "function") answer(got.body);
      else assert.deepEqual(withoutId(got.body), answer);
    });
  }
});
