import { strict as assert } from "node:assert";
import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, dirname, join } from "node:path";
import Docker from "dockerode";
import { newToken } from "../../common/access/tokens.ts";
import { commandsBelow } from "../../common/testing/doc-commands.ts";
import { endWithTests } from "../../common/testing/end-with-tests.ts";
import { eventually } from "../../common/testing/eventually.ts";
import { freePort } from "../../common/testing/free-port.ts";
import { VERSION } from "../../common/version.ts";
import { PullPolicy } from "../../gen/nebula/v1/container_pb.ts";
import { Api } from "../harness/api.ts";
import { Engine, FOREVER, IMAGE } from "../harness/engine.ts";
import { OwnEngine } from "../harness/own-engine.ts";
import { buildImage, DIST, prepareImages, run } from "./nebula-images.ts";

const INSTALL = readFileSync(new URL("../../docs/install.md", import.meta.url), "utf8");
const WORKER_IMAGE = `nebula-worker:${VERSION}`;
const NAME = "nebula-worker";
/** Labels by which the original's worker would know a container of app web. */
const LIKE_AN_APP = ["orchestrator=nebula", "container_type=app", "app_name=web"];

/** On the commands of docs/install.md for two machines: the second one is an engine of the test's own. */
describe("a worker in a container, set up as docs/install.md says", function () {
  this.timeout(300_000);
  const own = OwnEngine.describe();
  const stack = new AsyncDisposableStack();
  let folder: string;
  let api: Api;
  let engine: Engine;
  let docker: Docker;
  let deviceId: string;
  let address: Readonly<{ host: string; http: number; grpc: number }>;

  before(async () => {
    engine = new Engine("main", own().socket);
    docker = new Docker({ socketPath: own().socket });
    await prepareImages(own().socket);
    buildImage("worker", WORKER_IMAGE, { socket: own().socket });
    folder = stack.adopt(mkdtempSync(join(tmpdir(), "nebula-e2e-install-")), (path) => rmSync(path, { recursive: true }));
    address = { host: own().hostAddress, http: await freePort(), grpc: await freePort() };
    await startServer();
    const printed = shell(commandsBelow(INSTALL, "first app", { ...places(), "8081:80": `${await freePort()}:80` }));
    const password = readFileSync(join(folder, "data/admin-password"), "utf8").trim();
    api = stack.use(new Api(`${address.host}:${address.grpc}`, password, { ca: readFileSync(join(folder, "server.pem")) }));
    startWorker(/NEBULA_ENROLL_TOKEN=(\S+)/.exec(printed)?.[1] ?? assert.fail(printed));
  });
  after(() => stack.disposeAsync());

  /** The names and ports of the page, as they are here. */
  const places = () => ({ "server.example.com:8080": `${address.host}:${address.http}` });

  async function startServer(): Promise<void> {
    const { host, http, grpc } = address;
    const commands = commandsBelow(INSTALL, "two machines", {
      "DNS:server.example.com": `IP:${host}`,
      "server.example.com:50051": `${host}:${grpc}`,
      "0.0.0.0:8080": `${host}:${http}`,
      "0.0.0.0:50051": `${host}:${grpc}`,
      "nebula server": "exec nebula server --metrics-listen off",
    });
    const server = endWithTests(spawn("bash", ["-euc", commands], { cwd: folder, env: environment(), stdio: ["ignore", "pipe", "pipe"] }));
    stack.defer(() => void server.kill("SIGKILL"));
    let printed = "";
    for (const stream of [server.stdout, server.stderr]) stream.setEncoding("utf8").on("data", (text: string) => (printed += text));
    await eventually(() => printed.includes("is up") || server.exitCode !== null, { timeoutMs: 30_000 });
    assert.equal(server.exitCode, null, printed);
  }

  /** As an operator's shell: the commands of the package, and the second machine's engine. */
  function environment(): Record<string, string> {
    const path = [DIST, dirname(process.execPath), process.env.PATH ?? ""].join(delimiter);
    return { PATH: path, HOME: folder, DOCKER_HOST: `unix://${own().socket}` };
  }

  function shell(commands: string): string {
    return run("bash", ["-euo", "pipefail", "-c", `cd "${folder}"; ${commands}`], environment());
  }

  /** With limits and labels that could mislead it. */
  function startWorker(enrollToken: string): void {
    const misleading = ["--cpus 0.9 --memory 256m -e NEBULA_LOG_LEVEL=debug", ...LIKE_AN_APP.map((label) => `--label ${label}`)].join(" ");
    const replaced = {
      "=TOKEN": `=${enrollToken}`,
      [`nebula-worker:${VERSION}`]: `${misleading} ${WORKER_IMAGE}`,
    };
    shell(commandsBelow(INSTALL, "device with TLS", { ...places(), ...replaced }));
  }

  const worker = () => docker.getContainer(NAME).inspect();
  const web = async () => (await engine.settled("web", 1))[0] ?? assert.fail("web does not run");
  /** Waits for a report that the device made since then. */
  async function reportedSince(boot: string | undefined) {
    return await eventually(
      async () => {
        const device = await api.device(deviceId);
        return device?.report !== undefined && device.report.boot !== boot && device.report.host !== undefined ? device.report : false;
      },
      { timeoutMs: 60_000, everyMs: 100 },
    );
  }

  it("a worker in a container enrols, and knows its own container, its data volume, and the name, cores and memory of the machine", async () => {
    const { Id, Mounts } = await worker();
    const { Name, NCPU } = await docker.info();
    const logs = async () => String(await docker.getContainer(NAME).logs({ stdout: true, stderr: true }));
    await eventually(async () => (await logs()).includes(`"ownContainerId":"${Id}"`), { timeoutMs: 60_000, everyMs: 200 });
    deviceId = String(await eventually(async () => /this device is (\S+)/.exec(await logs())?.[1] ?? false, { timeoutMs: 60_000, everyMs: 200 }));
    assert.match(deviceId, new RegExp(`^${Name}-[0-9a-f]{6}$`));
    const { host } = await reportedSince(undefined);
    const [, kilobytes] = /^MemTotal: +(\d+) kB$/m.exec(readFileSync("/proc/meminfo", "utf8")) ?? [];
    assert.deepEqual([host?.hostname, host?.cpuCores, host?.memoryTotalBytes], [Name, NCPU, BigInt(kilobytes ?? 0) * 1024n]);
    assert.ok(host !== undefined && host.diskTotalBytes > 0n);
    assert.deepEqual(
      Mounts.filter(({ Type }) => Type === "volume").map(({ Destination, Name: volume }) => [Destination, volume]),
      [["/data", "nebula-worker"]],
    );
    await api.updateApp("web", { pullPolicy: PullPolicy.MISSING, command: FOREVER });
    await engine.settled("web", 1, ({ Config }) => Config.Cmd.join() === FOREVER.join());
  });

  it("a worker in a container never removes its own container or image: with the labels of an app, at a prune", async () => {
    const before = await worker();
    const { pruneId } = await api.prune("pos");
    await eventually(async () => (await api.device(deviceId))?.report?.pruneId === pruneId, { timeoutMs: 60_000 });
    await api.updateApp("web", { envVars: { VERSION: "2" } });
    await engine.settled("web", 1, ({ Config }) => Config.Env.includes("VERSION=2"));
    const now = await worker();
    assert.deepEqual([now.Id, now.State.Running, now.State.StartedAt], [before.Id, true, before.State.StartedAt]);
    assert.equal((await docker.getImage(WORKER_IMAGE).inspect()).Id, before.Image);
  });

  it("a worker in a container resumes after docker restart as the same device, and leaves its containers as they are", async () => {
    const [container, boot] = [await web(), (await api.device(deviceId))?.report?.boot];
    await docker.getContainer(NAME).restart();
    await reportedSince(boot);
    const now = await web();
    assert.deepEqual([now.Id, now.State.StartedAt], [container.Id, container.State.StartedAt]);
  });

  it("a worker in a container resumes after a restart of the engine as the same device", async () => {
    const [{ Id }, boot] = [await worker(), (await api.device(deviceId))?.report?.boot];
    await own().stopDaemon();
    await own().startDaemon();
    await reportedSince(boot);
    assert.equal((await worker()).Id, Id);
    await web();
  });

  it("a worker resumes in a new container with the volume of the old one as the same device, whose enrolment token is used up", async () => {
    const [container, boot] = [await web(), (await api.device(deviceId))?.report?.boot];
    await docker.getContainer(NAME).remove({ force: true });
    startWorker(newToken());
    await reportedSince(boot);
    assert.equal((await web()).Id, container.Id);
  });

  it("a worker is removed by its own image with its volume, not while it runs, and without its own containers; the server then forgets it", async () => {
    const labels = LIKE_AN_APP.map((label) => `--label ${label}`).join(" ");
    const block = commandsBelow(INSTALL, "uninstall container", { [` ${WORKER_IMAGE}`]: ` ${labels} ${WORKER_IMAGE}` });
    const [, removal = assert.fail(block)] = /^(docker run .*\n.*\n)/m.exec(block) ?? [];
    await web();
    assert.throws(() => shell(removal), /a worker uses the data folder \/data: stop it first/);
    await web();
    await docker.getContainer(NAME).stop();
    const printed = shell(removal);
    const left = await docker.listContainers({ all: true });
    assert.deepEqual(
      left.map(({ Names }) => Names),
      [[`/${NAME}`]],
      "the container of the worker is not one of its own",
    );
    assert.deepEqual((await docker.listNetworks()).map(({ Name }) => Name).sort(), ["bridge", "host", "none"]);
    assert.equal(shell(`docker run --rm -v nebula-worker:/data ${IMAGE} ls -A /data`), "");
    const [exports] = commandsBelow(INSTALL, "first app", places()).split(/^(?!export)/m);
    const onServer = [...printed.matchAll(/^ {2}nebulactl devices .*$/gm)].map(([line]) => line);
    assert.equal(onServer.length, 2, printed);
    shell(`${exports}${onServer.join("\n")}`);
    assert.equal(await api.device(deviceId), undefined);
  });
});
