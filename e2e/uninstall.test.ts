import { strict as assert } from "node:assert";
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import type Docker from "dockerode";
import { PullPolicy } from "../gen/nebula/v1/container_pb.ts";
import { type Engine, FOREVER, IMAGE } from "./harness/engine.ts";
import { EngineProxy } from "./harness/engine-proxy.ts";
import { FleetRig } from "./harness/fleet-rig.ts";
import { OwnEngine } from "./harness/own-engine.ts";
import { Program } from "./harness/program.ts";
import type { Worker } from "./harness/worker.ts";

const ROOT = fileURLToPath(new URL("..", import.meta.url));
const WITH_VOLUME = "nebula-e2e-uninstall:1";
/** The labels that make a container of another cluster look like one of instance main. */
const OF_OTHER_CLUSTER = {
  orchestrator: "nebula",
  container_type: "app",
  app_name: "theirs",
  "nebula.instance": "main",
  "nebula.cluster": `${"ab".repeat(16)}.1`,
  "nebula.index": "1",
  "nebula.spec": "1:00",
};

describe("nebula worker --remove-everything on a real engine", function () {
  this.timeout(180_000);
  const rig = FleetRig.describe();
  const own = OwnEngine.describe();

  /** The settings of a worker, for another process on its data. */
  const settingsOf = (worker: Worker, socket = own().socket) => ({
    NEBULA_INSTANCE: worker.engine.instance,
    NEBULA_DEVICE_ID: worker.deviceId,
    NEBULA_WORKER_DATA: worker.dataDir,
    NEBULA_RUNTIME: `docker://${socket}`,
  });

  async function removeEverything(worker: Worker, flags: readonly string[] = ["--yes"], socket?: string) {
    const program = rig.use(new Program(["worker", "--remove-everything", ...flags], { env: settingsOf(worker, socket) }));
    const code = await program.exit();
    return { code, output: program.output };
  }

  /** Everything on the engine that a worker could have made or removed, images left out. */
  async function inventoryOf({ docker }: Engine) {
    const containers = await docker.listContainers({ all: true });
    const { Volumes } = await docker.listVolumes();
    return {
      containers: containers.map(({ Id, State }) => `${Id} ${State}`).sort(),
      networks: (await docker.listNetworks()).map(({ Name, Id }) => `${Name} ${Id}`).sort(),
      volumes: Volumes.map(({ Name }) => Name).sort(),
    };
  }

  async function byHand({ docker }: Engine, options: Docker.ContainerCreateOptions): Promise<void> {
    const container = await docker.createContainer({ Image: IMAGE, Cmd: FOREVER, ...options });
    const isGone = (error: unknown) => assert.equal(Object(error).statusCode, 404); // with the worker of its instance
    rig.defer(() => container.remove({ force: true, v: true }).catch(isGone));
    await container.start();
  }

  /** A device with an app whose container has an anonymous volume from the one before it, one of its own, and a named one. */
  async function device(instance: string) {
    const web = rig.name("web");
    await rig.api.createApp({ name: web, dockerImage: WITH_VOLUME, pullPolicy: PullPolicy.NEVER, command: FOREVER, volumes: ["till-data:/named"] });
    const { worker, engine } = await rig.device([web], { socket: own().socket, instance });
    await engine.settled(web, 1);
    await rig.api.updateApp(web, { envVars: { VERSION: "2" }, containersPer: { per: { case: "server", value: 2 } } });
    const containers = await engine.settled(web, 2, ({ Config }) => Config.Env.includes("VERSION=2"));
    return { worker, engine, web, containers };
  }

  before(async () => {
    const { docker, build } = { docker: own().socket, build: `FROM ${IMAGE}\nVOLUME /data\n` };
    const { status, stderr } = spawnSync("docker", ["-H", `unix://${docker}`, "build", "-q", "-t", WITH_VOLUME, "-"], {
      input: build,
      encoding: "utf8",
      env: { ...process.env, DOCKER_BUILDKIT: "0" },
    });
    assert.equal(status, 0, stderr);
  });

  it("a device is as it was before its worker came, but for named volumes and images, and containers of others are left alone", async () => {
    const engine = (await rig.device([], { socket: own().socket, instance: "other" })).engine;
    await byHand(engine, { name: "somebody-elses" });
    await byHand(engine, { name: "of-another-cluster", Labels: OF_OTHER_CLUSTER });
    const before = await inventoryOf(engine);
    assert.equal(before.volumes.length, 0);
    const { worker, containers } = await device("main");
    rig.deferLast(() => worker.engine.docker.getVolume("till-data").remove());
    const [copied] = containers;
    await engine.docker.getContainer(copied?.Id ?? "").commit({ repo: "nebula-e2e-copied", tag: "1" });
    await byHand(engine, { name: "a-copy", Image: "nebula-e2e-copied:1" });
    assert.equal((await inventoryOf(engine)).volumes.length, 4, "two of the app, one of the copy, and a named one");

    const refused = await removeEverything(worker);
    assert.deepEqual([refused.code, /a worker uses the data folder .*: stop it first/.test(refused.output)], [1, true], refused.output);
    assert.doesNotMatch(refused.output, /\n\s+at /);
    await worker.stop();
    const unasked = await removeEverything(worker, []);
    assert.deepEqual([unasked.code, unasked.output.includes("without a terminal to ask on, --yes is needed")], [1, true], unasked.output);
    assert.equal((await worker.engine.containers()).length, 4, "two of the app, the copy of one, and that of another cluster");

    const { code, output } = await removeEverything(worker, ["--yes", "--volumes"]);
    assert.equal(code, 0, output);
    const after = await inventoryOf(engine);
    const copy = await engine.docker.getContainer("a-copy").inspect();
    assert.deepEqual(after.containers, [...before.containers, `${copy.Id} running`].sort());
    assert.deepEqual(
      after.networks.filter((line) => !line.startsWith("nebula ")),
      before.networks.filter((line) => !line.startsWith("nebula ")),
    );
    assert.deepEqual(after.volumes, [...copy.Mounts.map(({ Name }) => Name ?? ""), "till-data"].sort());
    assert.equal(existsSync(worker.dataDir), false);
    for (const { Name } of containers) assert.ok(output.includes(`removed: container ${Name.slice(1)}\n`), output);
    assert.match(output, /^Left alone: container of-another-cluster of cluster (ab){16}, which this data folder never followed; --take-over /m);
    assert.ok(output.includes("removed: network nebula\n"), output);
    assert.ok(output.includes(`  nebulactl devices delete ${worker.deviceId}\n`), output);

    const again = await removeEverything(worker);
    assert.equal(again.code, 0, again.output);
  });

  it("a part that the engine refuses to remove is named with its words, the exit code is 1, and the next run removes the rest", async () => {
    const { worker, engine, containers } = await device("parts");
    rig.deferLast(() => engine.docker.getVolume("till-data").remove());
    await worker.stop();
    const [stubborn, other] = containers;
    let isStubborn = true;
    const proxy = await EngineProxy.start((path) => {
      const isRemoval = path.startsWith(`/containers/${stubborn?.Id}?`);
      return isStubborn && isRemoval
        ? { status: 500, body: JSON.stringify({ message: "unable to remove filesystem: device or resource busy" }) }
        : undefined;
    }, own().socket);
    rig.use(proxy);
    const first = await removeEverything(worker, ["--yes", "--volumes"], proxy.socket);
    assert.equal(first.code, 1, first.output);
    const name = stubborn?.Name.slice(1) ?? "";
    assert.match(first.output, new RegExp(`not removed: container ${name}: .*unable to remove filesystem: device or resource busy`));
    assert.ok(first.output.includes(`removed: container ${other?.Name.slice(1)}\n`), first.output);
    assert.match(first.output, /the same command resumes where this one ended/);
    assert.deepEqual(
      (await engine.containers()).map(({ Id }) => Id),
      [stubborn?.Id],
    );
    assert.equal(existsSync(worker.dataDir), true);
    isStubborn = false;
    const second = await removeEverything(worker, ["--yes", "--volumes"], proxy.socket);
    assert.equal(second.code, 0, second.output);
    assert.deepEqual([(await engine.containers()).length, existsSync(worker.dataDir)], [0, false]);
    assert.deepEqual((await inventoryOf(engine)).volumes, ["till-data"]);
  });

  it("on a terminal it is asked first, and only yes removes anything", async () => {
    const { worker, engine } = await device("asked");
    rig.deferLast(() => engine.docker.getVolume("till-data").remove());
    await worker.stop();
    const before = await inventoryOf(engine);
    /** Types an answer on a terminal of its own. */
    const answer = (typed: string) => {
      const command = `"${process.execPath}" cli/nebula.js worker --remove-everything`;
      const env = { PATH: process.env.PATH, ...settingsOf(worker) };
      const { status, stdout } = spawnSync("script", ["-qefc", command, "/dev/null"], { cwd: ROOT, env, encoding: "utf8", input: `${typed}\n` });
      return { status, stdout };
    };
    const no = answer("n");
    assert.match(no.stdout, /To be removed from this device: 2 containers: .*; the worker's files in .*Remove all of it\? \[y\/N\] /s);
    assert.deepEqual([no.status, no.stdout.includes("nebula: nothing was removed")], [1, true], no.stdout);
    assert.deepEqual(await inventoryOf(engine), before);
    const yes = answer("y");
    assert.equal(yes.status, 0, yes.stdout);
    assert.equal((await engine.containers()).length, 0);
    assert.deepEqual((await inventoryOf(engine)).volumes, before.volumes, "without --volumes they stay");
    for (const volume of before.volumes.filter((known) => known !== "till-data")) await engine.docker.getVolume(volume).remove();
  });
});
