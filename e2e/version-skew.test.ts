import { strict as assert } from "node:assert";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { eventually } from "../common/testing/eventually.ts";
import { freePort } from "../common/testing/free-port.ts";
import { AccessService } from "../gen/nebula/v1/access_pb.ts";
import { ReportService } from "../gen/nebula/v1/report_pb.ts";
import type { Api } from "./harness/api.ts";
import { RELEASE_BEFORE, requireTree } from "./harness/earlier-tree.ts";
import { Program } from "./harness/program.ts";
import { Server } from "./harness/server.ts";
import { SimulatedWorker } from "./harness/simulated-worker.ts";

const PASSWORD = "a password of the tests";
const ENV = { NEBULA_CLUSTER_KEY: "the key of a cluster of two releases", NEBULA_ADMIN_PASSWORD: PASSWORD };
const GROUP = "shops";
/** A change reaches a device and its report comes back, on a machine that does other things. */
const APPLIED_MS = 90_000;

describe("this release beside the release before", function () {
  this.timeout(300_000);
  let folder: string;
  /** The programs of the release before. */
  let earlier: Readonly<{ nebula: string; nebulactl: string }>;
  before(async function () {
    folder = await mkdtemp(join(tmpdir(), "nebula-e2e-skew-"));
    const tree = await requireTree(this, RELEASE_BEFORE, join(folder, "tree"));
    earlier = { nebula: join(tree, "cli/nebula.js"), nebulactl: join(tree, "cli/nebulactl.js") };
  });
  after(() => rm(folder, { recursive: true, force: true }));

  const opened: AsyncDisposable[] = [];
  afterEach(async () => {
    for (const each of opened.splice(0).reverse()) await each[Symbol.asyncDispose]();
  });
  function use<Opened extends AsyncDisposable>(value: Opened): Opened {
    opened.push(value);
    return value;
  }

  /** A server with an app `web` in a device_group, of this release unless its program is given. */
  async function serve(file?: string): Promise<Server> {
    const server = use(await Server.start({ env: ENV, ...(file === undefined ? {} : { file }) }));
    await server.api.createApp({ name: "web", dockerImage: "shop:1" });
    await server.api.createGroup(GROUP, ["web"]);
    return server;
  }

  /** A device that enrols, by way of a gateway. */
  async function enrol(api: Api, { url, deviceId, file }: Readonly<{ url: string; deviceId: string; file?: string }>): Promise<SimulatedWorker> {
    const call = { headers: api.headers, timeoutMs: 20_000 };
    const { token } = await api.channel.unary(AccessService.method.createEnrolmentToken, { deviceGroup: GROUP, uses: 1 }, call);
    return use(new SimulatedWorker({ server: url, deviceId, enrollToken: token, ...(file === undefined ? {} : { file }) }));
  }

  /** Changes the app, and waits until a device reports that a container of this image runs at that revision. */
  async function assertFollows(api: Api, deviceId: string, dockerImage: string): Promise<void> {
    const { revision } = await api.updateApp("web", { dockerImage });
    await assertRuns(api, deviceId, { dockerImage, revision });
  }

  async function assertRuns(
    api: Api,
    deviceId: string,
    { dockerImage, revision }: Readonly<{ dockerImage: string; revision: bigint }>,
  ): Promise<void> {
    const { containers } = await api.appStatus(deviceId, "web", ({ appliedRevision }) => appliedRevision === revision, APPLIED_MS);
    assert.deepEqual(
      containers.map(({ image }) => image),
      [`docker.io/library/${dockerImage}`],
    );
    const request = { deviceId, pageSize: 1000 };
    await eventually(async () => {
      const { reports } = await api.channel.unary(ReportService.method.listReports, request, { headers: api.headers, timeoutMs: 20_000 });
      return reports.some(({ report }) => report?.apps.some((app) => app.name === "web" && app.appliedRevision === revision));
    });
  }

  it("a worker of the release before enrols with this server, follows its changes and reports; upgraded, it is the same device", async () => {
    const server = await serve();
    const worker = await enrol(server.api, { url: server.url, deviceId: "till-1", file: earlier.nebula });
    await assertRuns(server.api, "till-1", { dockerImage: "shop:1", revision: 1n });
    await assertFollows(server.api, "till-1", "shop:2");
    const versionBefore = (await server.api.device("till-1"))?.report?.workerVersion;
    const [token] = worker.secrets;

    await worker.startAgain({ file: undefined });
    await assertFollows(server.api, "till-1", "shop:3");
    assert.deepEqual(worker.secrets, [token], "the upgraded worker has another token");
    assert.equal(typeof versionBefore, "string");
  });

  it("a worker of this release enrols with a server of the release before, follows it and reports; it stays as it is when that is upgraded", async () => {
    const server = await serve(earlier.nebula);
    const worker = await enrol(server.api, { url: server.url, deviceId: "till-1" });
    await assertRuns(server.api, "till-1", { dockerImage: "shop:1", revision: 1n });
    await assertFollows(server.api, "till-1", "shop:2");
    const containerOf = async () => (await server.api.device("till-1"))?.report?.apps[0]?.containers.map(({ id }) => id);
    const container = await containerOf();
    assert.equal(container?.length, 1);
    const connectionsByCalls = () => worker.output.split("the manager takes reports by calls alone").length - 1;
    assert.equal(connectionsByCalls(), 1, worker.output);

    await server.stop();
    const byCallsBefore = connectionsByCalls();
    await using migration = new Program(["migrate"], { env: { ...ENV, NEBULA_DATA: server.dataDir } });
    assert.equal(await migration.exit(), 0, migration.output);
    await server.startAgain();
    await server.api.createApp({ name: "second", dockerImage: "shop:1" });
    await server.api.updateGroup(GROUP, ["web", "second"]);
    await server.api.appStatus("till-1", "second", ({ appliedRevision }) => appliedRevision === 1n, APPLIED_MS);
    assert.deepEqual(await containerOf(), container, "the upgrade of the server restarted a container");
    await assertFollows(server.api, "till-1", "shop:3");
    assert.equal(connectionsByCalls(), byCallsBefore, "the upgraded server takes reports on the stream of the watch");
    assert.doesNotMatch(worker.output, /enrols again/);
  });

  it("a gateway of the release before serves nebulactl, JSON and REST v2 in front of this release's managers", async () => {
    await assertServes(await serve(), { gateway: earlier.nebula, worker: undefined });
  });

  it("a gateway of this release serves nebulactl, JSON and REST v2 in front of a manager of the release before", async () => {
    await assertServes(await serve(earlier.nebula), { gateway: undefined, worker: earlier.nebula });
  });

  /** Asserts that a gateway serves each of its APIs in front of the managers of a server: a write, a read, a list, and reports of a device. */
  async function assertServes(server: Server, files: Readonly<{ gateway: string | undefined; worker: string | undefined }>): Promise<void> {
    const url = await startGateway(server, files.gateway);
    await enrol(server.api, { url, deviceId: "till-1", ...(files.worker === undefined ? {} : { file: files.worker }) });
    await assertRuns(server.api, "till-1", { dockerImage: "shop:1", revision: 1n });

    for (const [name, file, till] of [
      ["ctl-now", "cli/nebulactl.js", /^till-1 +shops .*applied/m],
      ["ctl-before", earlier.nebulactl, /^till-1 .*web@1/m],
    ] as const) {
      const nebulactl = async (...args: string[]) => {
        const env = { NEBULA_SERVER: url, NEBULA_USER: "admin", NEBULA_PASSWORD: PASSWORD, HOME: folder };
        await using program = new Program(args, { file, env });
        assert.equal(await program.exit(), 0, `${name} ${args.join(" ")}: ${program.output}`);
        return program.output;
      };
      await nebulactl("apps", "create", name, "--image", "shop:1");
      await nebulactl("apps", "update", name, "--env", "REGION=eu");
      const info = JSON.parse(await nebulactl("apps", "info", name, "-o", "json"));
      assert.deepEqual([info.name, info.env_vars, Number(info.revision)], [name, { REGION: "eu" }, 2]);
      assert.match(await nebulactl("apps", "list"), new RegExp(`^${name} `, "m"));
      assert.match(await nebulactl("devices", "list"), till);
      assert.match(await nebulactl("reports", "list"), /till-1/);
    }

    const headers = { ...server.api.headers, "content-type": "application/json" };
    const post = async (method: string, body: object) => {
      const response = await fetch(`${url}/nebula.v1.${method}`, { method: "POST", headers, body: JSON.stringify(body) });
      const text = await response.text();
      assert.equal(response.status, 200, `${method}: ${text}`);
      return JSON.parse(text);
    };
    await post("AppService/CreateApp", { app: { name: "json", docker_image: "shop:1" } });
    const updated = await post("AppService/UpdateApp", { app: { name: "json", docker_image: "shop:2" }, update_fields: ["docker_image"] });
    assert.equal(updated.app.revision, "2");
    assert.equal((await post("AppService/GetApp", { name: "json" })).app.docker_image, "shop:2");
    const names = ({ apps }: { apps: readonly { name: string }[] }) => apps.map(({ name }) => name);
    assert.deepEqual(names(await post("AppService/ListApps", {})), ["ctl-before", "ctl-now", "json", "web"]);
    const { reports } = await post("ReportService/ListReports", { device_group: GROUP, page_size: 1000 });
    assert.ok(reports.length > 0);
    assert.deepEqual([...new Set(reports.map(({ report }: { report: { device_id: string } }) => report.device_id))], ["till-1"]);

    const v2 = async (method: string, path: string, body?: object) => {
      const response = await fetch(`${url}/api/v2${path}`, { method, headers, ...(body === undefined ? {} : { body: JSON.stringify(body) }) });
      const text = await response.text();
      assert.ok(response.ok, `${method} ${path}: ${response.status} ${text}`);
      return JSON.parse(text);
    };
    const app = { starting_ports: [], env_vars: {}, docker_image: "shop:1", running: true, networks: [], volumes: [], devices: [] };
    await v2("POST", "/apps/v2", { ...app, containers_per: { server: 1 }, privileged: false, rolling_restart: false });
    assert.equal((await v2("PUT", "/apps/v2/update", { docker_image: "shop:2" })).docker_image, "shop:2");
    assert.equal((await v2("GET", "/apps/v2")).app_id, 2);
    assert.deepEqual((await v2("GET", "/apps")).apps.toSorted(), ["ctl-before", "ctl-now", "json", "v2", "web"]);
    assert.deepEqual((await v2("GET", `/device_groups/${GROUP}/info`)).apps_list, ["web"]);
    const { data } = await v2("GET", `/reports?device_group=${GROUP}`);
    assert.ok(data.length > 0);

    // each API wrote to the same store
    assert.equal((await post("AppService/GetApp", { name: "v2" })).app.docker_image, "shop:2");
    assert.equal((await v2("GET", "/apps/ctl-before")).env_vars.REGION, "eu");
  }

  /** A gateway by itself in front of the managers of a server; answers its URL. */
  async function startGateway({ grpcPorts, api }: Server, file: string | undefined): Promise<string> {
    const port = await freePort();
    const managers = `grpc://${grpcPorts.map((each) => `127.0.0.1:${each}`).join(",")}`;
    const env = { ...ENV, NEBULA_MANAGERS: managers, NEBULA_HTTP_LISTEN: `127.0.0.1:${port}`, NEBULA_METRICS_LISTEN: "off" };
    const program = use(new Program(["gateway"], { env, ...(file === undefined ? {} : { file }) }));
    const isReady = async () => (await fetch(`http://127.0.0.1:${port}/api/v2/apps`, { headers: api.headers })).ok;
    await eventually(async () => program.ended || (await isReady()), { timeoutMs: 60_000, everyMs: 100 });
    assert.ok(!program.ended, program.output);
    return `http://127.0.0.1:${port}`;
  }
});
