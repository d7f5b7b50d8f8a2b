import { strict as assert } from "node:assert";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { eventually } from "../common/testing/eventually.ts";
import { freePort } from "../common/testing/free-port.ts";
import { DOCKER_SOCKET, requireDocker } from "../common/testing/require-docker.ts";
import { DeviceService } from "../gen/nebula/v1/device_pb.ts";
import { type AppStatus, type Report, TargetState } from "../gen/nebula/v1/report_pb.ts";
import { Engine, FOREVER } from "./harness/engine.ts";
import { OwnEngine } from "./harness/own-engine.ts";
import { Program } from "./harness/program.ts";
import { Server } from "./harness/server.ts";

const SHOP = "nebula-e2e-moved-shop:1";
const GROUP = "shops";
const NEBULA = fileURLToPath(new URL("../cli/nebula.js", import.meta.url));

/** An app as the original's worker runs it, index by index. */
type AsOriginal = Readonly<{ app: string; index?: number; env?: readonly string[]; hostPort?: number; binds?: readonly string[] }>;

/** A device whose worker was the original's: an engine with what that left behind, and a server that has taken the old manager's place. */
class MovedDevice {
  readonly server: Server;
  readonly engine: Engine;
  readonly #socket: string;
  readonly #folder: string;

  constructor(server: Server, socket: string, folder: string) {
    this.server = server;
    this.engine = new Engine("main", socket);
    this.#socket = socket;
    this.#folder = folder;
  }

  /** Makes and starts a container as the original does: the image's command, one network at the create, the others connected before the start. */
  async runAsOriginal({ app, index = 1, env = [], hostPort, binds = [] }: AsOriginal): Promise<string> {
    const { docker } = this.engine;
    const container = await docker.createContainer({
      name: `${app}-${index}`,
      Image: SHOP,
      Env: [...env],
      Labels: { orchestrator: "nebula", container_type: "app", app_name: app },
      ...(hostPort === undefined ? {} : { ExposedPorts: { "80/tcp": {} } }),
      HostConfig: {
        NetworkMode: "nebula",
        RestartPolicy: { Name: "unless-stopped" },
        Binds: [...binds],
        ...(hostPort === undefined ? {} : { PortBindings: { "80/tcp": [{ HostPort: String(hostPort) }] } }),
      },
    });
    await docker.getNetwork("bridge").connect({ Container: container.id });
    await container.start();
    return container.id;
  }

  /**
   * Starts the new worker with the old one's variables and no other. The worker finds its engine where it looks by itself: in a mount namespace in
   * which that socket is the test engine's, since on the machine's own engine instance main would take over every container there.
   */
  startWorker(env: Readonly<Record<string, string>>): Program {
    const script = `mount --make-rprivate / && mount --bind "$0" ${DOCKER_SOCKET} && cd "$1" && shift && exec "$@"`;
    const variables = {
      NEBULA_MANAGER_HOST: "127.0.0.1",
      NEBULA_MANAGER_PORT: String(this.server.httpPort),
      NEBULA_MANAGER_PROTOCOL: "http",
      NEBULA_MANAGER_CHECK_IN_TIME: "30",
      REGISTRY_HOST: "skip",
      REGISTRY_AUTH_USER: "skip",
      REGISTRY_AUTH_PASSWORD: "skip",
      MAX_RESTART_WAIT_IN_SECONDS: "0",
      DEVICE_GROUP: GROUP,
      KAFKA_BOOTSTRAP_SERVERS: "kafka.example.com:9092", // the old worker's own way to the reporter
    };
    return new Program(["worker"], {
      file: NEBULA,
      env: { ...variables, ...env },
      wrapper: ["unshare", "-m", "sh", "-c", script, this.#socket, this.#folder],
    });
  }

  /** A call to REST v2, as the clients make it that were there before. */
  async v2(method: string, path: string, body?: object): Promise<void> {
    const response = await fetch(`${this.server.url}/api/v2${path}`, {
      method,
      headers: { authorization: `Basic ${Buffer.from(`admin:${this.server.password}`).toString("base64")}` },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    assert.ok(response.ok, `${method} ${path}: ${response.status} ${await response.text()}`);
  }

  /** Waits for what the one device of the group reports of an app. */
  async appStatus(app: string, holds: (status: AppStatus) => boolean): Promise<void> {
    let seen: Report | undefined;
    const wanted = async () => {
      const { channel, headers } = this.server.api;
      const { devices } = await channel.unary(DeviceService.method.listDevices, { deviceGroup: GROUP }, { headers });
      seen = devices[0]?.report;
      const status = seen?.apps.find(({ name }) => name === app);
      return status !== undefined && holds(status);
    };
    await eventually(wanted, { timeoutMs: 40_000, everyMs: 50 }).catch((error) => {
      throw new Error(`the device says of ${app}: ${seen?.apps.map(({ name, state, reason }) => `${name} ${state} ${reason}`).join("; ")}`, {
        cause: error,
      });
    });
  }

  async startedAt(id: string): Promise<string> {
    return (await this.engine.docker.getContainer(id).inspect()).State.StartedAt;
  }

  async isThere(id: string): Promise<boolean> {
    return (await this.engine.docker.listContainers({ all: true, filters: { id: [id] } })).length > 0;
  }
}

const applied = ({ state }: AppStatus) => state === TargetState.APPLIED;

describe("a device of the original that is moved", function () {
  this.timeout(180_000);
  const own = OwnEngine.describe();
  let server: Server;
  let folder: string;
  before(async function () {
    await requireDocker(this);
    server = await Server.start();
    folder = await mkdtemp(join(tmpdir(), "nebula-e2e-moved-"));
  });
  after(async () => {
    await server?.[Symbol.asyncDispose]();
    if (folder !== undefined) await rm(folder, { recursive: true, force: true });
  });

  it("a device of the original runs on under the new worker, started with the old one's variables: what matches is not touched, the rest is re-created", async () => {
    const device = new MovedDevice(server, own().socket, folder);
    const { engine } = device;
    const port = await freePort(2);
    await engine.build(SHOP, `ENV FROM_IMAGE=1\nCMD ${JSON.stringify(FOREVER)}`);
    await engine.docker.createNetwork({ Name: "nebula", Driver: "bridge" });
    const kept = [
      await device.runAsOriginal({ app: "web", index: 1, env: ["REGION=eu", "DEBUG=True"], hostPort: port }),
      await device.runAsOriginal({ app: "web", index: 2, env: ["REGION=eu", "DEBUG=True"], hostPort: port + 1 }),
      await device.runAsOriginal({ app: "files", binds: ["/tmp:/tmp/host:ro"] }),
    ];
    const outdated = await device.runAsOriginal({ app: "api", env: ["REGION=us"] });
    const leftOver = await device.runAsOriginal({ app: "gone" });
    const foreign = await engine.docker.createContainer({ name: "foreign", Image: SHOP });
    await foreign.start();
    const starts = await Promise.all(kept.map((id) => device.startedAt(id)));
    const assertKept = async () => assert.deepEqual(await Promise.all(kept.map((id) => device.startedAt(id))), starts);

    const image = { docker_image: SHOP };
    await device.v2("POST", "/apps/web", {
      ...image,
      env_vars: { REGION: "eu", DEBUG: true },
      starting_ports: [{ [port]: "80" }],
      containers_per: { server: 2 },
    });
    await device.v2("POST", "/apps/files", { ...image, volumes: ["/tmp:/tmp/host:ro"] });
    await device.v2("POST", "/apps/api", { ...image, env_vars: { REGION: "eu" } });
    await device.v2("POST", `/device_groups/${GROUP}`, { apps: ["web", "files", "api"], cron_jobs: [] });

    await using worker = device.startWorker({ NEBULA_MANAGER_AUTH_USER: "admin", NEBULA_MANAGER_AUTH_PASSWORD: server.password });
    await worker.printed(/worker of device_group shops/);
    await device.appStatus("web", (status) => applied(status) && status.containers.length === 2);
    await device.appStatus("files", applied);
    await device.appStatus("api", ({ reason }) => reason.startsWith("image stale")); // no registry has its image
    await eventually(async () => !(await device.isThere(outdated)) && !(await device.isThere(leftOver)), { timeoutMs: 30_000 });
    await engine.settled("api", 1, ({ Config }) => Config.Env.includes("REGION=eu"));
    await assertKept();

    // a worker that is started again, with a token in place of the password, leaves all as it is
    assert.equal(await worker.stop(), 0, worker.output);
    const { token } = await userOfTheDevices(device);
    await using again = device.startWorker({ NEBULA_MANAGER_AUTH_TOKEN: token });
    const at = Date.now();
    await eventually(() => reportedSince(device, at), { timeoutMs: 40_000 });
    await device.appStatus("web", (status) => applied(status) && status.containers.length === 2);
    await assertKept();

    // and from then on it follows what the old clients change
    await device.v2("PUT", "/apps/web/update", { env_vars: { REGION: "asia" } });
    await engine.settled("web", 2, ({ Config }) => Config.Env.includes("REGION=asia"), 60_000);
    await eventually(async () => !(await device.isThere(kept[0] ?? ""))); // it goes once the new one runs
    assert.equal(await device.startedAt(kept[2] ?? ""), starts[2], "an app that nobody changed");
    assert.equal((await foreign.inspect()).State.Running, true);
    assert.equal(await again.stop(), 0, again.output);
  });
});

/** A user of the store with `ro` on the group, as workers of the original log in, and its token. */
async function userOfTheDevices(device: MovedDevice): Promise<{ token: string }> {
  const token = "token-of-the-devices-1234567890";
  await device.v2("POST", "/users/devices", { password: "password-of-the-devices", token });
  await device.v2("POST", "/user_groups/devices", {
    group_members: ["devices"],
    device_groups: { [GROUP]: "ro" },
    apps: {},
    cron_jobs: {},
    pruning_allowed: false,
    admin: false,
  });
  return { token };
}

/** Whether the device has reported since then, milliseconds since 1970. */
async function reportedSince({ server }: MovedDevice, since: number): Promise<boolean> {
  const { channel, headers } = server.api;
  const { devices } = await channel.unary(DeviceService.method.listDevices, { deviceGroup: GROUP }, { headers });
  return Number(devices[0]?.report?.startedAt?.seconds ?? 0n) * 1000 + 1000 > since;
}
