import { strict as assert } from "node:assert";
import { execFile } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { ADMIN } from "../cli/nebulactl/testing/test-server.ts";
import { OPERATIONS } from "../gateway/v2/operations.ts";
import { type Python, requirePython } from "./python/python.ts";
import { withoutId } from "./v2/row.ts";
import { V2Client } from "./v2/v2-client.ts";

const PACKAGES = ["openapi-python-client==0.29.1"];
const SCRIPT = join(import.meta.dirname, "python", "call-generated.py");

type Call = Readonly<{ operation: string; args: readonly string[]; model?: string; body?: unknown }>;
type Answer = Readonly<{ status: number; model: string; value: unknown }>;
type Row = Call & Readonly<{ status: number; answers: string; holds?: unknown }>;

const APP = {
  docker_image: "busybox:1",
  starting_ports: [80, { "8080": "81" }, "53/udp"],
  containers_per: { cpu: 0.5 },
  env_vars: { COLOUR: "blue" },
  volumes: ["/data:/data:ro"],
  labels: { shop: "7" },
  command: ["sleep", "60"],
  ulimits: [{ name: "nofile", soft: 100, hard: 200 }],
};
const CRON_JOB = { docker_image: "busybox:1", schedule: "0 * * * *", env_vars: { COLOUR: "blue" } };
const GROUP = { apps: ["web"], cron_jobs: ["clean"] };
const USER_GROUP = { group_members: ["ann"], apps: { web: "rw" }, device_groups: { pos: "ro" }, pruning_allowed: true };
const LOGIN = { password: "a user's password", token: "a-users-token-in-clear" };

/** One of each kind, in the order in which they are called. */
const TABLE: readonly Row[] = [
  {
    operation: "apps.create_app",
    args: ["web"],
    model: "AppInput",
    body: APP,
    status: 200,
    answers: "App",
    holds: { app_name: "web", app_id: 1, ...APP },
  },
  { operation: "apps.create_app", args: ["web"], model: "AppInput", body: APP, status: 403, answers: "CreateAppResponse403Type0" },
  { operation: "apps.get_app", args: ["web"], status: 200, answers: "App", holds: { app_id: 1, ...APP } },
  {
    operation: "apps.put_app_update",
    args: ["web"],
    model: "AppInput",
    body: { docker_image: "busybox:2" },
    status: 202,
    answers: "App",
    holds: { app_id: 2, ...APP, docker_image: "busybox:2" },
  },
  {
    operation: "apps.post_app_update",
    args: ["web"],
    model: "AppInput",
    body: { docker_image: "busybox:3" },
    status: 202,
    answers: "App",
    holds: { app_id: 3, docker_image: "busybox:3", env_vars: [], starting_ports: [] },
  },
  { operation: "apps.list_apps", args: [], status: 200, answers: "ListAppsResponse200", holds: { apps: ["web"] } },
  {
    operation: "cron_jobs.create_cron_job",
    args: ["clean"],
    model: "CronJobInput",
    body: CRON_JOB,
    status: 200,
    answers: "CronJob",
    holds: { cron_job_id: 1, ...CRON_JOB },
  },
  { operation: "cron_jobs.get_cron_job", args: ["clean"], status: 200, answers: "CronJob", holds: CRON_JOB },
  {
    operation: "cron_jobs.patch_cron_job_update",
    args: ["clean"],
    model: "CronJobInput",
    body: { running: false },
    status: 202,
    answers: "CronJob",
    holds: { cron_job_id: 2, ...CRON_JOB, running: false },
  },
  {
    operation: "device_groups.create_device_group",
    args: ["pos"],
    model: "DeviceGroupInput",
    body: GROUP,
    status: 200,
    answers: "DeviceGroup",
    holds: GROUP,
  },
  { operation: "device_groups.get_device_group", args: ["pos"], status: 200, answers: "DeviceGroup", holds: { device_group_id: 1, ...GROUP } },
  {
    operation: "device_groups.put_device_group_update",
    args: ["pos"],
    model: "DeviceGroupInput",
    body: { cron_jobs: [] },
    status: 202,
    answers: "DeviceGroup",
    holds: { device_group_id: 2, apps: ["web"], cron_jobs: [] },
  },
  { operation: "users.create_user", args: ["ann"], model: "UserInput", body: LOGIN, status: 200, answers: "User", holds: { user_name: "ann" } },
  { operation: "users.get_user", args: ["ann"], status: 200, answers: "User", holds: { user_name: "ann" } },
  {
    operation: "users.put_user_update",
    args: ["ann"],
    model: "UserInput",
    body: { password: "another password" },
    status: 200,
    answers: "User",
    holds: { user_name: "ann" },
  },
  {
    operation: "user_groups.create_user_group",
    args: ["crew"],
    model: "UserGroupInput",
    body: USER_GROUP,
    status: 200,
    answers: "UserGroup",
    holds: USER_GROUP,
  },
  { operation: "user_groups.get_user_group", args: ["crew"], status: 200, answers: "UserGroup", holds: { user_group: "crew", ...USER_GROUP } },
  {
    operation: "user_groups.patch_user_group_update",
    args: ["crew"],
    model: "UserGroupInput",
    body: { apps: { "*": "ro" } },
    status: 200,
    answers: "UserGroup",
    holds: { ...USER_GROUP, apps: { "*": "ro" } },
  },
  { operation: "user_groups.delete_user_group", args: ["crew"], status: 200, answers: "DeleteUserGroupResponse200", holds: {} },
  { operation: "users.delete_user", args: ["ann"], status: 200, answers: "DeleteUserResponse200", holds: {} },
  { operation: "device_groups.delete_device_group", args: ["pos"], status: 200, answers: "DeleteDeviceGroupResponse200", holds: {} },
  { operation: "cron_jobs.delete_cron_job", args: ["clean"], status: 200, answers: "DeleteCronJobResponse200", holds: {} },
  { operation: "apps.delete_app", args: ["web"], status: 200, answers: "DeleteAppResponse200", holds: {} },
];

describe("the OpenAPI document of REST v2", () => {
  const client = V2Client.describe();

  it("the document says of each array what its items are", async () => {
    const { body } = await client.send("GET", "/openapi.json");
    const arrays = schemasOf(body).filter(({ type }) => type === "array");
    assert.ok(arrays.length > 20, `${arrays.length} arrays`);
    assert.deepEqual(
      arrays.filter(({ items }) => typeof items !== "object"),
      [],
    );
  });

  describe("as a generated Python client", function () {
    this.timeout(240_000);
    let python: Python | undefined;
    let folder: string | undefined;

    before(async function () {
      python = await requirePython(this, PACKAGES);
      folder = await mkdtemp(join(tmpdir(), "nebula-e2e-client-"));
      const document = join(folder, "openapi.json");
      await writeFile(document, JSON.stringify((await client.send("GET", "/openapi.json")).body));
      // A warning means that an operation or a schema is missing from the client.
      const options = ["--path", document, "--output-path", join(folder, "generated"), "--meta", "none", "--fail-on-warning"];
      await run(python, ["-m", "openapi_python_client", "generate", ...options], "");
    });
    after(async () => {
      if (folder !== undefined) await rm(folder, { recursive: true, force: true });
    });

    it("a generated Python client creates, reads, updates and deletes one of each kind", async () => {
      const calls = TABLE.map(({ operation, args, model, body }) => ({ operation, args, ...(model === undefined ? {} : { model, body }) }));
      const args = [SCRIPT, folder ?? "", client.url, ADMIN.user, ADMIN.password];
      const answers: readonly Answer[] = JSON.parse(await run(python ?? assert.fail("there is no Python"), args, JSON.stringify(calls)));
      assert.equal(answers.length, TABLE.length);
      for (const [index, { operation, status, answers: model, holds }] of TABLE.entries()) {
        const answer = answers[index] ?? assert.fail("there is no answer");
        const told = `${operation}: ${JSON.stringify(answer)}`;
        assert.equal(answer.status, status, told);
        assert.equal(answer.model, model, told);
        if (holds !== undefined) assert.partialDeepStrictEqual(withoutId(answer.value), holds, told);
      }
    });

    it("a generated Python client has each operation of the document", async () => {
      const code =
        "import importlib, sys; sys.path.insert(0, sys.argv[1]); [importlib.import_module('generated.api.' + name) for name in sys.argv[2:]]";
      const names = OPERATIONS.map(
        ({ id, path }) => `${(path.split("/")[1] ?? "").replace(/\W/g, "_")}.${id.replace(/[A-Z]/g, (c) => `_${c.toLowerCase()}`)}`,
      );
      assert.ok(names.length > 40);
      await run(python ?? assert.fail("there is no Python"), ["-c", code, folder ?? "", ...names], "");
    });
  });
});

/** Everything in the document that may be a schema. */
function schemasOf(value: unknown): Readonly<Record<string, unknown>>[] {
  if (typeof value !== "object" || value === null) return [];
  return [Object(value), ...Object.values(value).flatMap(schemasOf)];
}

/** Runs Python; answers what it printed. Rejects with what it printed besides, where it fails. */
function run({ python, bin }: Python, args: readonly string[], stdin: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const env = { ...process.env, PATH: `${bin}${delimiter}${process.env.PATH ?? ""}` }; // the generator looks for its formatter there
    const child = execFile(python, [...args], { env }, (error, out, err) => {
      if (error === null) resolve(out);
      else reject(new Error(`python ${args.join(" ")}: ${out}${err}`, { cause: error }));
    });
    child.stdin?.end(stdin);
  });
}
