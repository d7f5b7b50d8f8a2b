import { strict as assert } from "node:assert";
import type { ChildProcessWithoutNullStreams } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { commandsBelow } from "../../common/testing/doc-commands.ts";
import { eventually } from "../../common/testing/eventually.ts";
import { freePort } from "../../common/testing/free-port.ts";
import { MACHINE_PATH, npmEnvironment } from "../../common/testing/npm-environment.ts";
import { requireCompose } from "../../common/testing/require-command.ts";
import { Api } from "../harness/api.ts";
import { Engine, FOREVER, IMAGE } from "../harness/engine.ts";
import { OwnEngine } from "../harness/own-engine.ts";
import { SystemdMachine } from "../harness/systemd-machine.ts";
import { BASE, prepareImages, run } from "./nebula-images.ts";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));
const INSTALL = readFileSync(new URL("../../docs/install.md", import.meta.url), "utf8");
const UNIT = "/etc/systemd/system/nebula-worker.service";
const TOKEN = /(?<=NEBULA_ENROLL_TOKEN(?:=|: ))TOKEN\b/;
/** How long a device may take to run its app, on a machine that is busy with others. */
const RUNS_MS = 90_000;

/**
 * One machine with systemd and an engine of its own, on which each way of docs/install.md is gone in turn. Before each
 * way to make it a device, and after each one's removal, the engine is a fresh one.
 */
describe("docs/install.md on one machine, as printed but for the address of the server", function () {
  this.timeout(600_000);
  const own = OwnEngine.describe();
  const stack = new AsyncDisposableStack();
  let compose: string;
  let machine: SystemdMachine;
  let engine: Engine;
  let folder: string;
  let clone: string;
  let address: string;
  let grpc: string;
  let api: Api;
  let printed = "";

  before(async function () {
    compose = requireCompose(this).join(" ");
    engine = new Engine("main", own().socket);
    folder = stack.adopt(mkdtempSync(join(tmpdir(), "nebula-e2e-install-")), (path) => rmSync(path, { recursive: true }));
    clone = join(folder, "nebula");
    address = `${own().hostAddress}:${await freePort()}`;
    grpc = `${own().hostAddress}:${await freePort()}`;
    const env = {
      ...npmEnvironment(),
      npm_config_prefix: "/usr/local", // where the unit of the page has the worker; by itself that of the machine's npm
      PATH: ["/usr/local/bin", ...MACHINE_PATH].join(delimiter),
      NEBULA_HTTP_LISTEN: address,
      NEBULA_GRPC_LISTEN: grpc,
      NEBULA_METRICS_LISTEN: "off",
      NEBULA_SERVER: `http://${address}`,
    };
    machine = stack.use(await SystemdMachine.start(this, { engineFolder: dirname(own().socket), env }));
    run("git", ["clone", "-q", ROOT, clone]);
  });
  after(() => stack.disposeAsync());

  const password = () => readFileSync(join(clone, "data/admin-password"), "utf8").trim();
  const shell = (commands: string, cwd = clone) => machine.run(commands, cwd);
  /** With a login, as `nebulactl login` keeps one. */
  const asAdmin = (commands: string) => machine.run(commands, clone, { NEBULA_USER: "admin", NEBULA_PASSWORD: password() });
  const [createGroup = "", enroll = ""] = commandsBelow(INSTALL, "enrolment").split(/(?<=\n)/);
  /** A block of the page that makes a device, with the address of the server, and a token. */
  function block(mark: string, replaced: Readonly<Record<string, string>> = {}): string {
    const text = commandsBelow(INSTALL, mark, { "server.example.com:8080": address, ...replaced });
    assert.match(text, TOKEN);
    return text.replace(TOKEN, newToken());
  }
  const newToken = () => /^ {2}([A-Za-z0-9_-]{43})$/m.exec(asAdmin(enroll))?.[1] ?? assert.fail("no token was printed");

  /** Starts commands whose last one goes on, and waits for a line of it. */
  async function started(commands: string, cwd: string, ready: RegExp): Promise<ChildProcessWithoutNullStreams> {
    const child = machine.start(commands, cwd);
    printed = "";
    for (const stream of [child.stdout, child.stderr]) stream.setEncoding("utf8").on("data", (text: string) => (printed += text));
    await eventually(() => ready.test(printed) || child.exitCode !== null, { timeoutMs: 300_000, everyMs: 100 });
    assert.match(printed, ready);
    return child;
  }

  async function assertFresh(): Promise<void> {
    const { docker } = engine;
    assert.deepEqual(
      (await docker.listContainers({ all: true })).map(({ Names }) => Names),
      [],
    );
    assert.deepEqual((await docker.listNetworks()).map(({ Name }) => Name).sort(), ["bridge", "host", "none"]);
    assert.deepEqual((await docker.listVolumes()).Volumes, []);
  }

  const runsApp = () => engine.settled("web", 1, () => true, RUNS_MS);

  it("the npm package is made in a clone, and its server starts and answers nebulactl", async () => {
    await started(commandsBelow(INSTALL, "package", { "nebula server": "exec nebula server" }), clone, /is up/);
    assert.match(printed, /admin-password/);
    assert.match(shell(commandsBelow(INSTALL, "ping")), /^version +\d+\.\d+\.\d+/m);
    api = stack.use(new Api(grpc, password()));
    await api.createApp({ name: "web", dockerImage: IMAGE, command: FOREVER });
    asAdmin(createGroup);
    asAdmin("nebulactl device-groups update pos --apps web");
  });

  it("the images are built in the clone", async () => {
    await prepareImages(own().socket);
    run("docker", ["-H", `unix://${own().socket}`, "tag", BASE, "node:26-slim"]); // no image registry need be reachable
    const made = { "npm ci && npm run build && ": "" }; // by the commands of the package
    shell(commandsBelow(INSTALL, "images", made));
    for (const image of ["nebula-server", "nebula-worker", "nebulactl"])
      assert.match(shell(`docker run --rm ${image}:0.1.0 --version`), / 0\.1\.0$/m);
  });

  it("the line that devices enroll prints makes a fresh engine a device, whose app runs, and the uninstall makes the engine fresh again", async () => {
    await assertFresh();
    const out = asAdmin(enroll);
    const line = /^ {2}docker run .*\n(?: {4}.*\n)+/m.exec(out)?.[0] ?? assert.fail(out);
    shell(line);
    await runsApp();
    shell(commandsBelow(INSTALL, "uninstall container"));
    await assertFresh();
  });

  it("the container of the page makes a fresh engine a device, whose app runs", async () => {
    await assertFresh();
    shell(block("worker"));
    await runsApp();
    shell(commandsBelow(INSTALL, "uninstall container"));
    await assertFresh();
  });

  it("the compose file of the page makes a fresh engine a device, whose app runs", async () => {
    await assertFresh();
    const project = join(folder, "device");
    mkdirSync(project);
    writeFileSync(join(project, "compose.yaml"), block("worker compose"));
    shell(`${compose} -f compose.yaml up -d`, project);
    await runsApp();
    shell(commandsBelow(INSTALL, "uninstall container", { "docker rm -f nebula-worker": `${compose} -f compose.yaml down` }), project);
    await assertFresh();
  });

  it("the worker of the npm package makes a fresh engine a device, whose app runs", async () => {
    await assertFresh();
    const project = join(folder, "package");
    mkdirSync(project);
    const line = block("worker package", { "NEBULA_SERVER=": "exec env NEBULA_SERVER=" });
    const worker = await started(`echo "pid $$"; ${line}`, project, /this device is /);
    await runsApp();
    assert.ok(existsSync(join(project, "worker-data/device-token.json")));
    shell(`kill -INT ${/^pid (\d+)$/m.exec(printed)?.[1]}`);
    await eventually(() => worker.exitCode !== null, { timeoutMs: 30_000 });
    assert.equal(worker.exitCode, 0, printed);
    shell("nebula worker --remove-everything --yes", project);
    assert.equal(existsSync(join(project, "worker-data")), false);
    await assertFresh();
  });

  it("the systemd unit of the page makes a fresh engine a device, comes back after a kill and a power cut, and is uninstalled", async () => {
    await assertFresh();
    writeFileSync(join(folder, "unit"), commandsBelow(INSTALL, "worker unit"));
    shell(`cp "${join(folder, "unit")}" ${UNIT}`);
    assert.equal(shell(`systemd-analyze verify --man=no ${UNIT} 2>&1`), "");
    assert.equal(shell("command -v nebula-worker").trim(), /^ExecStart=(\S+)$/m.exec(commandsBelow(INSTALL, "worker unit"))?.[1]);
    shell(block("worker unit start"));
    const [{ Id } = assert.fail()] = await runsApp();
    assert.equal(shell("stat -c %a /etc/nebula-worker.env /var/lib/nebula-worker"), "600\n700\n");

    const mainPid = () => Number(shell("systemctl show --property MainPID --value nebula-worker"));
    const isBack = (before: number) => eventually(() => ![0, before].includes(mainPid()), { timeoutMs: 60_000, everyMs: 200 });
    const killed = mainPid();
    shell(`kill -KILL ${killed}`);
    await isBack(killed);

    const deviceId = shell("cat /var/lib/nebula-worker/device-id").trim();
    const bootOf = async () => (await api.device(deviceId))?.report?.boot;
    const boot = await eventually(async () => (await bootOf()) ?? false, { timeoutMs: RUNS_MS });
    await machine.powerOff();
    await own().stopDaemon();
    await own().startDaemon();
    await machine.powerOn();
    await started("exec nebula server --data data", clone, /is up/);
    await isBack(0);
    await eventually(async () => ![undefined, boot].includes(await bootOf()), { timeoutMs: RUNS_MS, everyMs: 200 });
    assert.equal((await runsApp())[0]?.Id, Id, "the same container runs again");

    shell(commandsBelow(INSTALL, "uninstall unit"));
    await assertFresh();
    assert.equal(shell("ls /var/lib /etc /etc/systemd/system | grep nebula-worker || true"), "");
  });
});
