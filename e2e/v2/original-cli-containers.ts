import { strict as assert } from "node:assert";

export type CliRow = Readonly<{
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

/** Of the status, apps and cron_jobs, in the order in which they are typed; the apps web and db exist afterwards. */
export const CONTAINER_ROWS: readonly CliRow[] = [
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
];
