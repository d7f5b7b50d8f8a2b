import { strict as assert } from "node:assert";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import Docker from "dockerode";
import { commandsBelow } from "../../common/testing/doc-commands.ts";
import { eventually } from "../../common/testing/eventually.ts";
import { VERSION } from "../../common/version.ts";
import { OwnEngine } from "../harness/own-engine.ts";
import { BASE, buildImage, clientWithBuildkit, prepareImages, run, type Target } from "./nebula-images.ts";

const INSTALL = readFileSync(new URL("../../docs/install.md", import.meta.url), "utf8");
const BACKUP = readFileSync(new URL("../../docs/backup.md", import.meta.url), "utf8");
const TARGETS: readonly Target[] = ["server", "worker", "nebulactl"];
const NAMES: Readonly<Record<Target, string>> = { server: "nebula-server", worker: "nebula-worker", nebulactl: "nebulactl" };
/** The most that an image may add to its base, bytes. */
const LARGEST = 40_000_000;

describe("the images of deploy/Dockerfile", function () {
  this.timeout(300_000);
  const own = OwnEngine.describe();
  let docker: Docker;
  const tag = (target: Target) => `${NAMES[target]}:${VERSION}`;
  before(async () => {
    const { socket } = own();
    docker = new Docker({ socketPath: socket });
    await prepareImages(socket);
    for (const target of TARGETS) buildImage(target, tag(target), { socket });
  });

  const sizeOf = async (image: string) => (await docker.getImage(image).inspect()).Size;
  const onEngine = (command: string, ...args: string[]) => run(command, args, { DOCKER_HOST: `unix://${own().socket}` });
  /** The output of a container that ends by itself. */
  const runs = (image: string, ...args: string[]) => onEngine("docker", "run", "--rm", image, ...args).trim();

  it("the images are built without a network, and add little to their base", async () => {
    const base = await sizeOf(BASE);
    for (const target of TARGETS) {
      const added = (await sizeOf(tag(target))) - base;
      console.log(`      ${NAMES[target]} adds ${(added / 1e6).toFixed(1)} MB`);
      assert.ok(added > 500_000 && added <= LARGEST, `${target}: ${added} bytes`);
    }
  });

  it("the images are built by BuildKit as well", async function () {
    const client = clientWithBuildkit(own().socket);
    if (client === undefined) {
      assert.notEqual(process.env.CI, "true", "no Docker client builds by BuildKit");
      this.skip();
    }
    buildImage("server", "by-buildkit", { socket: own().socket, docker: client, buildkit: true });
    assert.equal(runs("by-buildkit", "--version"), `nebula ${VERSION}`);
  });

  it("the images print their version", () => {
    assert.equal(runs(tag("server"), "--version"), `nebula ${VERSION}`);
    assert.equal(runs(tag("worker"), "--version"), `nebula ${VERSION}`);
    assert.equal(runs(tag("nebulactl"), "--version"), `nebulactl ${VERSION}`);
  });

  it("the image nebula-server runs as docs/install.md says: without root on a read-only file system, with jemalloc, healthy", async () => {
    // looked at more often than by itself, and on free ports
    const replaced = { "-d --name": "-d --health-interval 1s --name", "8080:8080": "8080", "50051:50051": "50051" };
    const [start = "", show = ""] = commandsBelow(INSTALL, "server", replaced).split(/^(?=docker exec)/m);
    onEngine("bash", "-euc", start);
    const container = docker.getContainer("nebula-server");
    await eventually(async () => (await container.inspect()).State.Health?.Status === "healthy", { timeoutMs: 60_000, everyMs: 200 });
    const { State, NetworkSettings } = await container.inspect();
    assert.match(readFileSync(`/proc/${State.Pid}/status`, "utf8"), /^Uid:\t1000\t1000\t/m);
    assert.match(readFileSync(`/proc/${State.Pid}/cmdline`, "utf8"), /^\S*node\0--max-semi-space-size=16\0/);
    assert.match(readFileSync(`/proc/${State.Pid}/maps`, "utf8"), /libjemalloc\.so\.2/);
    assert.equal((await fetch(`http://${NetworkSettings.Networks.bridge?.IPAddress}:8080/readyz`)).status, 200);
    assert.equal(onEngine("docker", "exec", "nebula-server", "nebula", "health", "--ready"), "ok\n");

    const password = onEngine("bash", "-euc", show).trim();
    const login = ["NEBULA_SERVER=http://127.0.0.1:8080", "NEBULA_USER=admin", `NEBULA_PASSWORD=${password}`].flatMap((pair) => ["-e", pair]);
    const versions = onEngine("docker", "run", "--rm", "--network", "container:nebula-server", ...login, tag("nebulactl"), "version");
    assert.equal(versions, `nebulactl  ${VERSION}\nserver     ${VERSION}\n`);

    await container.stop();
    assert.equal((await container.inspect()).State.ExitCode, 0);
    onEngine("docker", "run", "--rm", "--volumes-from", "nebula-server", tag("server"), "migrate");
    onEngine("docker", "run", "--rm", "--volumes-from", "nebula-server", tag("server"), "backup", "--to", "/data/backup");
  });

  it("the image nebula-server is backed up and restored as docs/backup.md says: what came after the backup is gone", async () => {
    const folder = mkdtempSync(join(tmpdir(), "nebula-e2e-backup-"));
    const shell = (commands: string) => onEngine("bash", "-euc", `cd ${folder}\n${commands}`);
    const isHealthy = async () => (await docker.getContainer("nebula-server").inspect()).State.Health?.Status === "healthy";
    const admin =
      'docker run --rm --network container:nebula-server -e NEBULA_USER=admin -e NEBULA_PASSWORD="$(docker exec nebula-server cat /data/admin-password)"';
    const client = (...args: string[]) => shell(`${admin} -e NEBULA_SERVER=http://127.0.0.1:8080 ${tag("nebulactl")} ${args.join(" ")}`);
    try {
      shell("docker start nebula-server");
      await eventually(isHealthy, { timeoutMs: 60_000, everyMs: 200 });
      client("apps", "create", "before", "--image", "busybox:1");
      shell(commandsBelow(BACKUP, "backup of a container"));
      client("apps", "create", "after", "--image", "busybox:1");
      shell(commandsBelow(BACKUP, "restore of a container", { "nebula-server:0.1.0": tag("server") }));
      await eventually(isHealthy, { timeoutMs: 60_000, everyMs: 200 });
      const listed = client("apps", "list");
      assert.match(listed, /\bbefore\b/);
      assert.doesNotMatch(listed, /\bafter\b/);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});
