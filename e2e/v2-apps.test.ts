import { strict as assert } from "node:assert";
import { OPERATIONS } from "../gateway/v2/operations.ts";
import { invalid } from "./v2/invalid.ts";
import { describeRows, type Row, type RowCall } from "./v2/row.ts";
import { V2Client } from "./v2/v2-client.ts";

const IMAGE = { docker_image: "busybox:1" };
const CREATE: RowCall = ["POST", "/apps/~web", IMAGE];
const DEFAULTS = {
  app_name: "~web",
  app_id: 1,
  docker_image: "busybox:1",
  running: true,
  starting_ports: [],
  containers_per: { server: 1 },
  env_vars: {},
  networks: ["nebula", "bridge"],
  volumes: [],
  devices: [],
  privileged: false,
  rolling_restart: false,
};
const ALL = {
  docker_image: "shop:1",
  running: false,
  starting_ports: [80, { "8080": "81" }, "53/udp"],
  containers_per: { cpu: 0.5 },
  env_vars: { COLOUR: "blue", COUNT: 3, ON: true, NONE: null },
  networks: ["host"],
  volumes: ["/data:/data:ro"],
  devices: ["/dev/null:/dev/zero"],
  privileged: true,
  rolling_restart: true,
};
const ALL_SHOWN = { ...ALL, env_vars: { COLOUR: "blue", COUNT: "3", ON: "True", NONE: "" } };
const OURS = {
  command: ["sleep", "60"],
  cpus: 0.5,
  memory_limit_mb: 64,
  min_healthy_ms: 500,
  labels: { shop: "7" },
  ulimits: [{ name: "nofile", soft: 100, hard: 200 }],
  healthcheck: { test: ["CMD", "true"], interval_ms: 2000 },
  logging: { driver: "json-file", options: { "max-size": "1m" } },
  pull_policy: "missing",
  stop_grace_seconds: 3,
  read_only: true,
};

const PORTS_SHAPE = { starting_ports: "can only be a list containing integers or dicts" };

const TABLE: readonly Row[] = [
  {
    it: "GET /apps answers names, sorted",
    given: [
      ["POST", "/apps/~b", IMAGE],
      ["POST", "/apps/~a", IMAGE],
    ],
    call: ["GET", "/apps"],
    status: 200,
    holds: (body) => {
      const { apps } = Object(body);
      assert.ok(apps.includes("~a") && apps.includes("~b"));
      assert.ok(apps.indexOf("~a") < apps.indexOf("~b"));
    },
  },
  { it: "POST creates an app with the defaults", call: CREATE, status: 200, answer: DEFAULTS },
  { it: "POST takes every field", call: ["POST", "/apps/~web", ALL], status: 200, answer: { app_name: "~web", app_id: 1, ...ALL_SHOWN } },
  {
    it: "POST takes and shows fields that v2 lacks",
    call: ["POST", "/apps/~web", { ...IMAGE, ...OURS }],
    status: 200,
    answer: { ...DEFAULTS, ...OURS },
  },
  {
    it: "POST ignores unknown fields, ids and names in the body",
    call: [
      "POST",
      "/apps/~web",
      { ...IMAGE, unheard_of: 1, app_id: 99, app_name: "other", _id: { $oid: "0" }, name: "other", revision: 7, restart_count: 3 },
    ],
    status: 200,
    answer: DEFAULTS,
  },
  {
    it: "a null counts as absent",
    call: ["POST", "/apps/~web", { ...IMAGE, env_vars: null, running: null }],
    status: 200,
    answer: DEFAULTS,
  },
  {
    it: "POST reads an explicit empty list of networks as the network nebula alone",
    call: ["POST", "/apps/~web", { ...IMAGE, networks: [] }],
    status: 200,
    answer: { ...DEFAULTS, networks: ["nebula"] },
  },
  { it: "env_vars may be an empty list", call: ["POST", "/apps/~web", { ...IMAGE, env_vars: [] }], status: 200, answer: DEFAULTS },
  {
    it: "secret_env_vars show a fingerprint, and writing that back keeps the value",
    given: [["POST", "/apps/~web", { ...IMAGE, secret_env_vars: { PASSWORD: "geheim" } }]],
    call: ["GET", "/apps/~web"],
    status: 200,
    holds: (body) => assert.match(Object(body).secret_env_vars.PASSWORD, /^secret:[0-9a-f]{8}$/),
  },
  { it: "POST refuses a second create", given: [CREATE], call: CREATE, status: 403, answer: { app_exists: true } },
  {
    it: "a name that was deleted continues from its id",
    given: [CREATE, ["DELETE", "/apps/~web"]],
    call: CREATE,
    status: 200,
    answer: { ...DEFAULTS, app_id: 3 },
  },
  {
    it: "POST takes ports as on Docker's command line, with a host address, and shows them in v2's shape",
    call: ["POST", "/apps/~web", { ...IMAGE, starting_ports: ["8080:80", "127.0.0.1:8081:80", { "[0::1]:8082": 80 }, "53/udp"] }],
    status: 200,
    answer: { ...DEFAULTS, starting_ports: [{ "8080": "80" }, { "127.0.0.1:8081": "80" }, { "[::1]:8082": "80" }, "53/udp"] },
  },
  {
    it: "POST refuses one port twice on one address",
    call: ["POST", "/apps/~web", { ...IMAGE, starting_ports: ["127.0.0.1:80:80", 80] }],
    status: 400,
    holds: invalid("starting_ports[1].host_port", /claimed by starting_ports\[0\] already \(127\.0\.0\.1:80\)/),
  },
  {
    it: "POST refuses a create without docker_image",
    call: ["POST", "/apps/~web", {}],
    status: 400,
    answer: { missing_parameters: ["docker_image"] },
  },
  { it: "POST refuses a create without a body", call: ["POST", "/apps/~web"], status: 400, answer: { missing_parameters: ["docker_image"] } },
  { it: "POST refuses an invalid name", call: ["POST", "/apps/-web", IMAGE], status: 400, holds: invalid("app_name", /^invalid name "-web";/) },
  {
    it: "POST refuses a port above 65535",
    call: ["POST", "/apps/~web", { ...IMAGE, starting_ports: [65_536] }],
    status: 400,
    answer: { starting_ports: "invalid port" },
  },
  {
    it: "POST refuses port 0",
    call: ["POST", "/apps/~web", { ...IMAGE, starting_ports: [{ "80": "0" }] }],
    status: 400,
    answer: { starting_ports: "invalid port" },
  },
  { it: "POST refuses ports that are not a list", call: ["POST", "/apps/~web", { ...IMAGE, starting_ports: 80 }], status: 403, answer: PORTS_SHAPE },
  { it: "POST refuses ports of another shape", call: ["POST", "/apps/~web", { ...IMAGE, starting_ports: [[80]] }], status: 403, answer: PORTS_SHAPE },
  {
    it: "POST refuses a wrong type",
    call: ["POST", "/apps/~web", { ...IMAGE, running: "yes" }],
    status: 400,
    holds: invalid("running", /is a string; use true or false/),
  },
  {
    it: "POST refuses an image that is not a string",
    call: ["POST", "/apps/~web", { docker_image: 5 }],
    status: 400,
    holds: invalid("docker_image", /is a number; use a string/),
  },
  {
    it: "POST refuses a wrong value",
    call: ["POST", "/apps/~web", { docker_image: "UPPER CASE" }],
    status: 400,
    holds: invalid("docker_image", /white space/),
  },
  {
    it: "POST refuses volumes that are not a list",
    call: ["POST", "/apps/~web", { ...IMAGE, volumes: { "/a": "/b" } }],
    status: 400,
    holds: invalid("volumes", /use a list/),
  },
  {
    it: "POST refuses containers_per of an unknown kind",
    call: ["POST", "/apps/~web", { ...IMAGE, containers_per: { node: 1 } }],
    status: 400,
    holds: invalid("containers_per", /server/),
  },
  {
    it: "POST refuses env_vars with a list in them, and does not repeat it",
    call: ["POST", "/apps/~web", { ...IMAGE, env_vars: { KEY: ["geheim"] } }],
    status: 400,
    holds: (body) => {
      invalid("env_vars.KEY", /use a string/)(body);
      assert.doesNotMatch(JSON.stringify(body), /geheim/);
    },
  },
  { it: "GET reads an app", given: [CREATE], call: ["GET", "/apps/~web"], status: 200, answer: DEFAULTS },
  { it: "GET refuses an app that does not exist", call: ["GET", "/apps/~web"], status: 403, answer: { app_exists: false } },
  { it: "GET refuses an invalid name", call: ["GET", "/apps/%2e%2e%2fetc"], status: 403, answer: { app_exists: false } },
  { it: "DELETE of an app answers {}", given: [CREATE], call: ["DELETE", "/apps/~web"], status: 200, answer: {} },
  { it: "DELETE refuses an app that does not exist", call: ["DELETE", "/apps/~web"], status: 403, answer: { app_exists: false } },
  {
    it: "an app that a group names may be deleted, and the group keeps the name",
    given: [CREATE, ["POST", "/device_groups/~shops", { apps: ["~web"] }], ["DELETE", "/apps/~web"]],
    call: ["GET", "/device_groups/~shops"],
    status: 200,
    answer: { device_group: "~shops", device_group_id: 1, prune_id: 1, apps: ["~web"], cron_jobs: [] },
  },
  {
    it: "POST update replaces all, and env_vars that are missing are []",
    given: [["POST", "/apps/~web", { ...ALL, ...OURS, secret_env_vars: { KEY: "v" } }]],
    call: ["POST", "/apps/~web/update", IMAGE],
    status: 202,
    answer: { ...DEFAULTS, app_id: 2, env_vars: [] },
  },
  {
    it: "POST update with env_vars shows them",
    given: [CREATE],
    call: ["POST", "/apps/~web/update", { ...IMAGE, env_vars: { A: "1" } }],
    status: 202,
    answer: { ...DEFAULTS, app_id: 2, env_vars: { A: "1" } },
  },
  {
    it: "POST update refuses a missing image",
    given: [CREATE],
    call: ["POST", "/apps/~web/update", {}],
    status: 400,
    answer: { missing_parameters: ["docker_image"] },
  },
  { it: "POST update refuses an app that does not exist", call: ["POST", "/apps/~web/update", IMAGE], status: 403, answer: { app_exists: false } },
  {
    it: "POST update refuses a port",
    given: [CREATE],
    call: ["POST", "/apps/~web/update", { ...IMAGE, starting_ports: [-1] }],
    status: 400,
    answer: { starting_ports: "invalid port" },
  },
  {
    it: "POST update refuses ports of another shape",
    given: [CREATE],
    call: ["POST", "/apps/~web/update", { ...IMAGE, starting_ports: {} }],
    status: 403,
    answer: PORTS_SHAPE,
  },
  ...(["PUT", "PATCH"] as const).flatMap((method): Row[] => [
    {
      it: `${method} update changes only the given fields`,
      given: [["POST", "/apps/~web", { ...ALL, ...OURS }]],
      call: [method, "/apps/~web/update", { docker_image: "shop:2", running: true }],
      status: 202,
      answer: { app_name: "~web", ...ALL_SHOWN, ...OURS, app_id: 2, docker_image: "shop:2", running: true },
    },
    {
      it: `${method} update where nothing differs raises the id all the same`,
      given: [CREATE],
      call: [method, "/apps/~web/update", IMAGE],
      status: 202,
      answer: { ...DEFAULTS, app_id: 2 },
    },
    {
      it: `${method} update with unknown fields alone raises the id`,
      given: [CREATE],
      call: [method, "/apps/~web/update", { unheard_of: 1 }],
      status: 202,
      answer: { ...DEFAULTS, app_id: 2 },
    },
    {
      it: `${method} update with nothing is refused`,
      given: [CREATE],
      call: [method, "/apps/~web/update", {}],
      status: 400,
      answer: { missing_parameters: true },
    },
    {
      it: `${method} update without a body is refused`,
      given: [CREATE],
      call: [method, "/apps/~web/update"],
      status: 400,
      answer: { missing_parameters: true },
    },
    {
      it: `${method} update refuses an app that does not exist`,
      call: [method, "/apps/~web/update", IMAGE],
      status: 403,
      answer: { app_exists: false },
    },
    {
      it: `${method} update refuses a port`,
      given: [CREATE],
      call: [method, "/apps/~web/update", { starting_ports: [99_999] }],
      status: 400,
      answer: { starting_ports: "invalid port" },
    },
    {
      it: `${method} update refuses ports of another shape`,
      given: [CREATE],
      call: [method, "/apps/~web/update", { starting_ports: "80" }],
      status: 403,
      answer: PORTS_SHAPE,
    },
  ]),
  {
    it: "a fingerprint of secret_env_vars that is written back keeps the value",
    given: [
      ["POST", "/apps/~web", { ...IMAGE, secret_env_vars: { KEY: "geheim" } }],
      ["PUT", "/apps/~web/update", { secret_env_vars: { KEY: "other" } }],
    ],
    call: ["GET", "/apps/~web"],
    status: 200,
    holds: (body) => assert.match(Object(body).secret_env_vars.KEY, /^secret:/),
  },
  {
    it: "POST start runs an app, its id rises",
    given: [CREATE, ["POST", "/apps/~web/stop"]],
    call: ["POST", "/apps/~web/start"],
    status: 202,
    answer: { ...DEFAULTS, app_id: 3 },
  },
  {
    it: "POST start of a running app raises the id, too",
    given: [CREATE],
    call: ["POST", "/apps/~web/start"],
    status: 202,
    answer: { ...DEFAULTS, app_id: 2 },
  },
  {
    it: "POST stop stops an app",
    given: [CREATE],
    call: ["POST", "/apps/~web/stop"],
    status: 202,
    answer: { ...DEFAULTS, app_id: 2, running: false },
  },
  { it: "POST restart raises the id", given: [CREATE], call: ["POST", "/apps/~web/restart"], status: 202, answer: { ...DEFAULTS, app_id: 2 } },
  {
    it: "POST restart of a stopped app is refused",
    given: [CREATE, ["POST", "/apps/~web/stop"]],
    call: ["POST", "/apps/~web/restart"],
    status: 403,
    answer: { running_before_restart: false },
  },
  ...["start", "stop", "restart"].map(
    (verb): Row => ({
      it: `POST ${verb} refuses an app that does not exist`,
      call: ["POST", `/apps/~web/${verb}`],
      status: 403,
      answer: { app_exists: false },
    }),
  ),
];

describe("REST v2: apps", () => {
  const client = V2Client.describe();
  describeRows(client, TABLE);

  it("an app keeps the text of numbers in env_vars at create and update, and in /info", async () => {
    const create = await client.send("POST", "/apps/numbers", {
      raw: '{"docker_image": "busybox:1", "env_vars": {"ID": 12345678901234567890, "V": 1.0}}',
    });
    assert.deepEqual(Object(create.body).env_vars, { ID: "12345678901234567890", V: "1.0" });
    const update = await client.send("PUT", "/apps/numbers/update", { raw: '{"env_vars": {"V": 1.10, "N": 3}}' });
    assert.deepEqual(Object(update.body).env_vars, { V: "1.10", N: "3" });
    await client.send("POST", "/device_groups/of-numbers", { body: { apps: ["numbers"] } });
    const info = await client.send("GET", "/device_groups/of-numbers/info");
    assert.deepEqual(Object(info.body).apps[0].env_vars, { V: "1.10", N: "3" });
  });

  it("a fingerprint that is written back by a POST update keeps the value", async () => {
    const path = "/apps/with-secret";
    await client.send("POST", path, { body: { ...IMAGE, secret_env_vars: { KEY: "geheim" } } });
    const { body: before } = await client.send("GET", path);
    const { status, body: after } = await client.send("POST", `${path}/update`, { body: before });
    assert.equal(status, 202);
    assert.equal(Object(after).secret_env_vars.KEY, Object(before).secret_env_vars.KEY);
  });

  it("a list of more than 1000 names is complete", async function () {
    this.timeout(60_000);
    const names = Array.from({ length: 1050 }, (_, index) => `many-${String(index).padStart(4, "0")}`);
    for (let start = 0; start < names.length; start += 50)
      await Promise.all(names.slice(start, start + 50).map((name) => client.send("POST", `/apps/${name}`, { body: IMAGE })));
    const { body } = await client.send("GET", "/apps");
    assert.deepEqual(
      Object(body).apps.filter((name: string) => name.startsWith("many-")),
      names,
    );
  });

  it("every answer that the document gives an operation of apps was seen", () => {
    const operations = OPERATIONS.filter(({ path }) => path.startsWith("/apps"));
    assert.ok(operations.length > 5);
    assert.deepEqual(
      operations.flatMap(({ method, path, answers }) => client.answers.unseen(method, path, answers)),
      [],
    );
  });
});
