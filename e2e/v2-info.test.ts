import { strict as assert } from "node:assert";
import { eventually } from "../common/testing/eventually.ts";
import { ADMIN_LOGIN, basic, V2Client } from "./v2/v2-client.ts";

const PASSWORD = "a password of the test";

describe("GET /api/v2/device_groups/X/info", () => {
  const client = V2Client.describe();
  let groups = 0;

  async function sent(method: string, path: string, body?: unknown): Promise<void> {
    const { status, text } = await client.send(method, path, body === undefined ? {} : { body });
    assert.ok(status < 300, `${method} ${path}: ${status} ${text}`);
  }

  /** A device_group of one app, both of a name that no other test has. */
  async function group(): Promise<string> {
    const name = `group-${++groups}`;
    await sent("POST", `/apps/${name}`, { docker_image: "busybox:1", env_vars: { REGION: "eu" }, secret_env_vars: { PASSWORD: "hunter2" } });
    await sent("POST", `/device_groups/${name}`, { apps: [name], cron_jobs: [] });
    return name;
  }

  /** A user of the store who may read the group; its login. */
  async function reader(name: string): Promise<string> {
    await sent("POST", `/users/${name}`, { password: PASSWORD });
    const rights = { apps: {}, cron_jobs: {}, pruning_allowed: false, admin: false };
    await sent("POST", `/user_groups/${name}`, { group_members: [name], device_groups: { [name]: "ro" }, ...rights });
    return basic(name, PASSWORD);
  }

  const info = (name: string, headers: Record<string, string> = {}) => client.send("GET", `/device_groups/${name}/info`, { headers });
  const statusFor = async (name: string, authorization: string | null) =>
    (await client.send("GET", `/device_groups/${name}/info`, { authorization })).status;

  it("the info is the config that a device needs, secret values included, whole and in the group's order", async () => {
    const name = await group();
    await sent("POST", "/apps/first", { docker_image: "busybox:1" });
    await sent("POST", "/cron_jobs/sync", { docker_image: "busybox:1", schedule: "*/5 * * * *" });
    await sent("PUT", `/device_groups/${name}/update`, { apps: ["first", name], cron_jobs: ["sync"] });
    const { status, body } = await info(name);
    assert.equal(status, 200);
    const { apps, apps_list, cron_jobs_list, device_group_id, prune_id } = Object(body);
    assert.deepEqual([apps_list, cron_jobs_list, device_group_id, prune_id], [["first", name], ["sync"], 2, 1]);
    assert.deepEqual(apps[1].env_vars, { REGION: "eu", PASSWORD: "hunter2" });
    assert.equal("secret_env_vars" in apps[1], false);
    const shown = await client.send("GET", `/apps/${name}`);
    assert.match(Object(shown.body).secret_env_vars.PASSWORD, /^secret:[0-9a-f]{8}$/);
  });

  it("the info leaves out ports that a worker of the original exits on, and other answers show them", async () => {
    const name = await group();
    const ports = [80, { "8080": "81" }, "53/udp", { "5353": "53/udp" }, { "127.0.0.1:9090": "90" }, { "[::1]:9091": "53/udp" }];
    await sent("PUT", `/apps/${name}/update`, { starting_ports: ports });
    assert.deepEqual(Object((await client.send("GET", `/apps/${name}`)).body).starting_ports, ports);
    await eventually(async () => Object((await info(name)).body).apps[0].app_id === 2);
    assert.deepEqual(Object((await info(name)).body).apps[0].starting_ports, [80, { "8080": "81" }]);
  });

  it("a write of ports that the original exits on warns while the group is polled", async () => {
    const name = await group();
    const update = {
      app: { name, starting_ports: [{ host_port: 53, container_port: 53, protocol: "PORT_PROTOCOL_UDP" }] },
      update_fields: ["starting_ports"],
    };
    const warnings = async () => {
      const headers = { authorization: ADMIN_LOGIN, "content-type": "application/json" };
      const response = await fetch(`${client.url}/nebula.v1.AppService/UpdateApp`, { method: "POST", headers, body: JSON.stringify(update) });
      assert.equal(response.status, 200);
      return Object(await response.json()).warnings ?? [];
    };
    assert.deepEqual(await warnings(), []);
    assert.equal((await info(name)).status, 200);
    const expected = `workers of the original that poll device_group ${name} get app ${name} without host port 53/udp: they know neither UDP nor host addresses`;
    await eventually(async () => assert.deepEqual(await warnings(), [expected])); // another manager may serve the write: it reads a mark
  });

  it("the info follows every change; ids rise, and a poller that has it gets 304", async () => {
    const name = await group();
    const first = await info(name);
    const known = { "if-none-match": first.headers.get("etag") ?? "" };
    assert.equal((await info(name, known)).status, 304);
    await sent("PUT", `/apps/${name}/update`, { env_vars: { REGION: "us" } });
    await eventually(async () => (await info(name, known)).status === 200);
    assert.equal(Object((await info(name)).body).apps[0].app_id, 2);
    await sent("POST", `/device_groups/${name}/prune`);
    await eventually(async () => Object((await info(name)).body).prune_id === 2);
    await sent("DELETE", `/apps/${name}`);
    await eventually(async () => Object((await info(name)).body).apps_list.length === 0);
    assert.deepEqual(Object((await client.send("GET", `/device_groups/${name}`)).body).apps, [name], "the group keeps the name");
    await sent("DELETE", `/device_groups/${name}`);
    await eventually(async () => (await info(name)).status === 403);
    assert.deepEqual((await info(name)).body, { device_group_exists: false });
  });

  it("the info is refused to a caller who may not read the group, also after others got it", async () => {
    const name = await group();
    const other = await group();
    const login = await reader(name);
    assert.equal(await statusFor(name, login), 200);
    assert.equal(await statusFor(other, login), 403);
    for (let n = 0; n < 3; n++) {
      await info(name);
      assert.equal(await statusFor(name, null), 401);
      assert.equal(await statusFor(name, basic(name, "a wrong password")), 401);
      assert.equal(await statusFor(name, basic("nobody", PASSWORD)), 401);
      assert.equal(await statusFor(name, login), 200, "one wrong login locks nobody else out");
    }
  });

  it("the info follows every change of a user's rights", async () => {
    const name = await group();
    const login = await reader(name);
    const becomes = (status: number) => eventually(async () => (await statusFor(name, login)) === status);
    assert.equal(await statusFor(name, login), 200);
    await sent("PUT", `/user_groups/${name}/update`, { device_groups: {} });
    await becomes(403);
    await sent("PUT", `/user_groups/${name}/update`, { device_groups: { [name]: "rw" } });
    await becomes(200);
    await sent("PUT", `/users/${name}/update`, { password: "another password" });
    await becomes(401);
    await sent("PUT", `/users/${name}/update`, { password: PASSWORD });
    await becomes(200);
    await sent("DELETE", `/users/${name}`);
    await becomes(401);
  });
});
