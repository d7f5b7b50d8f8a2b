import { strict as assert } from "node:assert";
import { ADMIN, startTestServer, type TestServer } from "../cli/nebulactl/testing/test-server.ts";
import type { Python } from "./python/python.ts";
import { PythonSdk, requirePythonSdk } from "./python/python-sdk.ts";
import { withoutId } from "./v2/row.ts";

type SdkRow = Readonly<{
  call: readonly [method: string, args?: readonly unknown[], named?: Readonly<Record<string, unknown>>];
  status: number;
  reply: unknown;
}>;

const WEB = {
  app_name: "web",
  app_id: 1,
  docker_image: "busybox:1",
  running: true,
  starting_ports: [{ "8080": "80" }],
  containers_per: { server: 1 },
  env_vars: { COLOUR: "blue" },
  networks: ["nebula", "bridge"],
  volumes: [],
  devices: [],
  privileged: false,
  rolling_restart: false,
};
const GIVEN = { docker_image: "busybox:1", starting_ports: [{ "8080": "80" }], env_vars: { COLOUR: "blue" } };
const CLEAN = {
  cron_job_name: "clean",
  cron_job_id: 1,
  docker_image: "busybox:1",
  schedule: "0 * * * *",
  running: true,
  env_vars: {},
  networks: ["nebula", "bridge"],
  volumes: [],
  devices: [],
  privileged: false,
};
const SHOPS = { device_group: "shops", device_group_id: 1, prune_id: 1, apps: ["web"], cron_jobs: [] };
const CREW = {
  user_group: "crew",
  group_members: ["ann"],
  pruning_allowed: false,
  apps: { web: "rw" },
  device_groups: {},
  cron_jobs: {},
  admin: false,
};
const LOGIN = { password: "a user's password", token: "a-users-token-in-clear" };

/** In the order in which they are called. */
const TABLE: readonly SdkRow[] = [
  { call: ["check_api"], status: 200, reply: { api_available: true } },
  { call: ["list_apps"], status: 200, reply: { apps: [] } },
  { call: ["create_app", ["web", {}]], status: 400, reply: { missing_parameters: ["docker_image"] } },
  { call: ["create_app", ["web", GIVEN]], status: 200, reply: WEB },
  { call: ["create_app", ["web", GIVEN]], status: 403, reply: { app_exists: true } },
  { call: ["list_app_info", ["web"]], status: 200, reply: WEB },
  { call: ["stop_app", ["web"]], status: 202, reply: { ...WEB, app_id: 2, running: false } },
  { call: ["restart_app", ["web"]], status: 403, reply: { running_before_restart: false } },
  { call: ["start_app", ["web"]], status: 202, reply: { ...WEB, app_id: 3 } },
  { call: ["restart_app", ["web"]], status: 202, reply: { ...WEB, app_id: 4 } },
  { call: ["update_app", ["web", { containers_per: { cpu: 2 } }]], status: 202, reply: { ...WEB, app_id: 5, containers_per: { cpu: 2 } } },
  { call: ["update_app", ["web", GIVEN], { force_all: true }], status: 202, reply: { ...WEB, app_id: 6 } },
  {
    call: ["update_app", ["web", { docker_image: "a" }], { force_all: true }],
    status: 202,
    reply: { ...WEB, app_id: 7, docker_image: "a", starting_ports: [], env_vars: [] },
  },
  { call: ["list_device_groups"], status: 200, reply: { device_groups: [] } },
  { call: ["create_device_group", ["shops", { apps: ["none"] }]], status: 403, reply: { app_exists: false } },
  { call: ["create_device_group", ["shops", { apps: ["web"] }]], status: 200, reply: SHOPS },
  { call: ["list_device_group", ["shops"]], status: 200, reply: SHOPS },
  {
    call: ["list_device_group_info", ["shops"]],
    status: 200,
    reply: {
      apps: [{ ...WEB, app_id: 7, docker_image: "a", starting_ports: [], env_vars: {} }],
      apps_list: ["web"],
      prune_id: 1,
      cron_jobs: [],
      cron_jobs_list: [],
      device_group_id: 1,
    },
  },
  { call: ["create_cron_job", ["clean", { docker_image: "busybox:1", schedule: "soon" }]], status: 400, reply: { schedule_valid: false } },
  { call: ["create_cron_job", ["clean", { docker_image: "busybox:1", schedule: "0 * * * *" }]], status: 200, reply: CLEAN },
  { call: ["list_cron_jobs"], status: 200, reply: { cron_jobs: ["clean"] } },
  { call: ["list_cron_job_info", ["clean"]], status: 200, reply: CLEAN },
  { call: ["update_cron_job", ["clean", { running: false }]], status: 202, reply: { ...CLEAN, cron_job_id: 2, running: false } },
  { call: ["update_device_group", ["shops", { cron_jobs: ["clean"] }]], status: 202, reply: { ...SHOPS, device_group_id: 2, cron_jobs: ["clean"] } },
  {
    call: ["prune__device_group_images", ["shops"]],
    status: 202,
    reply: { ...SHOPS, device_group_id: 3, prune_id: 2, cron_jobs: ["clean"] },
  },
  { call: ["prune_images"], status: 202, reply: { prune_ids: { shops: 3 } } },
  {
    call: ["list_reports", [], { hostname: "nowhere", report_creation_time: 123, report_creation_time_filter: "eq" }],
    status: 200,
    reply: { data: null, last_id: null },
  },
  { call: ["list_users"], status: 200, reply: { users: [] } },
  { call: ["create_user", ["ann", LOGIN]], status: 200, reply: hasHashes },
  { call: ["create_user", ["ann", LOGIN]], status: 403, reply: { user_exists: true } },
  { call: ["list_user", ["ann"]], status: 200, reply: hasHashes },
  { call: ["update_user", ["ann", { password: "another password" }]], status: 200, reply: hasHashes },
  { call: ["refresh_user_token", ["ann"]], status: 200, reply: (reply: unknown) => assert.match(Object(reply).token, /^[\w-]{32,}$/) },
  { call: ["create_user_group", ["crew", { group_members: ["ann"], apps: { web: "rw" } }]], status: 200, reply: CREW },
  { call: ["list_user_group", ["crew"]], status: 200, reply: CREW },
  { call: ["list_user_groups"], status: 200, reply: { user_groups: ["crew"] } },
  { call: ["update_user_group", ["crew", { admin: true }]], status: 200, reply: { ...CREW, admin: true } },
  { call: ["delete_user_group", ["crew"]], status: 200, reply: {} },
  { call: ["delete_user", ["ann"]], status: 200, reply: {} },
  { call: ["delete_device_group", ["shops"]], status: 200, reply: {} },
  { call: ["delete_cron_job", ["clean"]], status: 200, reply: {} },
  { call: ["delete_app", ["web"]], status: 200, reply: {} },
  { call: ["delete_app", ["web"]], status: 403, reply: { app_exists: false } },
];

function hasHashes(reply: unknown): void {
  const { user_name, password, token } = Object(reply);
  assert.equal(user_name, "ann");
  assert.match(password, /^\$argon2id\$/);
  assert.match(token, /^[0-9a-f]{64}$/);
}

describe("the original's Python SDK", function () {
  this.timeout(120_000);
  let python: Python | undefined;
  let server: TestServer | undefined;

  before(async function () {
    python = await requirePythonSdk(this);
    server = await startTestServer();
  });
  after(async () => {
    await server?.[Symbol.asyncDispose]();
  });

  async function startSdk(login: Readonly<Record<string, unknown>>): Promise<PythonSdk> {
    const { hostname, port } = new URL(server?.http ?? assert.fail("the server is not up"));
    return await PythonSdk.start(python ?? assert.fail("there is no Python"), { host: hostname, port: Number(port), ...login });
  }

  it("the original's Python SDK gets from every one of its methods the answer of the original", async () => {
    await using sdk = await startSdk({ username: ADMIN.user, password: ADMIN.password });
    for (const { call, status, reply: expected } of TABLE) {
      const { status_code, reply } = await sdk.call(...call);
      assert.equal(status_code, status, `${call[0]}: ${JSON.stringify(reply)}`);
      if (typeof expected === "function") expected(withoutId(reply));
      else assert.deepEqual(withoutId(reply), expected, call[0]);
    }
    const called = new Set(TABLE.map(({ call: [method] }) => method));
    assert.deepEqual(
      sdk.methods.filter((method) => !called.has(method)),
      [],
      "methods that the table lacks",
    );
  });

  it("the original's Python SDK logs in by token, as it is configured and in base64", async () => {
    for (const token of [ADMIN.token, Buffer.from(ADMIN.token).toString("base64")]) {
      await using sdk = await startSdk({ token });
      assert.deepEqual(await sdk.call("check_api"), { status_code: 200, reply: { api_available: true } });
    }
  });
});
