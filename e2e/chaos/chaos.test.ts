import { strict as assert } from "node:assert";
import { randomInt } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import type Docker from "dockerode";
import { eventually } from "../../common/testing/eventually.ts";
import { freePort } from "../../common/testing/free-port.ts";
import { requireDocker } from "../../common/testing/require-docker.ts";
import { AppService } from "../../gen/nebula/v1/app_pb.ts";
import { DeviceGroupService } from "../../gen/nebula/v1/device_group_pb.ts";
import { TargetState } from "../../gen/nebula/v1/report_pb.ts";
import { FOREVER, IMAGE, newInstance } from "../harness/engine.ts";
import { OwnEngine } from "../harness/own-engine.ts";
import { Registry } from "../harness/registry.ts";
import { Server } from "../harness/server.ts";
import { Worker } from "../harness/worker.ts";
import { ChangedApps } from "./changes.ts";
import { Dice } from "./dice.ts";
import { disturbancesOfPrograms, ON_CONTAINERS } from "./disturbances.ts";
import { differencesOf } from "./fits-spec.ts";

const LONG = process.env.NEBULA_TEST_LONG === "1";
const CHAOS_MS = (LONG ? 10 : 3) * 60_000;
const CHANGE_EVERY_MS = 1_000;
const DISTURB_PROGRAMS_EVERY_MS = 6_000;
const DISTURB_CONTAINERS_EVERY_MS = 2_000;
/** A start that was refused because the engine went away is tried again after a minute at first. */
const CONVERGED_WITHIN_MS = 150_000;
const GROUP = "chaos";
const NAMES = ["web", "api", "shop", "queue", "mail"];

describe("a device whose programs, engine and containers are disturbed while its apps change every second", function () {
  this.timeout(CHAOS_MS + CONVERGED_WITHIN_MS + 180_000);
  const opened = new AsyncDisposableStack();
  after(async function () {
    this.timeout(60_000);
    await opened.disposeAsync(); // before the engine ends
  });
  const own = OwnEngine.describe();
  const dice = new Dice(Number(process.env.NEBULA_TEST_SEED ?? randomInt(1, 2 ** 31)));
  const log: string[] = [];
  const note = (what: string) => log.push(`${new Date().toISOString().slice(11, 23)} ${what}`);
  let registry: Registry;
  let server: Server;
  let worker: Worker;
  let apps: ChangedApps;
  let foreign: Foreign | undefined;

  before(async function () {
    await requireDocker(this);
    registry = opened.use(await Registry.start(this));
    server = opened.use(await Server.start());
    worker = opened.use(
      await Worker.start({
        server,
        deviceGroup: GROUP,
        socket: own().socket,
        env: { REGISTRY_HOST: registry.host, REGISTRY_AUTH_USER: Registry.user, REGISTRY_AUTH_PASSWORD: Registry.password, NEBULA_KEEPALIVE: "10s" },
      }),
    );
    const images: string[] = [];
    for (const version of [1, 2, 3]) {
      const tag = `nebula-e2e-chaos-${version}:1`;
      await worker.engine.build(tag, `ENV VERSION=${version}`);
      images.push(await registry.push(tag, `chaos/app:${version}`, worker.engine.docker));
    }
    apps = new ChangedApps(GROUP, NAMES, { images, firstPort: await freePort(ChangedApps.portsFor(NAMES)), dice });
    await apps.create(server.api);
  });

  afterEach(async function () {
    if (this.currentTest?.state !== "failed") return;
    const device = await (async () => server.api.device(worker.deviceId))().catch(() => undefined);
    const said = device?.report?.apps.map(({ name, state, step, reason, revision }) => `  ${name} @${revision} ${state} ${step} ${reason}`) ?? [];
    console.log(
      [`NEBULA_TEST_SEED=${dice.seed}`, ...log.slice(-150), "the worker reported:", ...said, worker.program.output.slice(-15_000)].join("\n"),
    );
  });

  /** The containers that are the worker's to manage: those with copied labels are not. */
  const managed = async (app?: string) => (await worker.engine.containers(app)).filter(({ Id }) => foreign?.ids.has(Id) !== true);

  /** The apps as stored, and of each container what differs from them; rejects while the server is away. */
  const differences = async (): Promise<string[]> => {
    const { engine } = worker;
    const call = { headers: server.api.headers, timeoutMs: 5_000 };
    const { deviceGroup } = await server.api.channel.unary(DeviceGroupService.method.getDeviceGroup, { name: GROUP }, call);
    const image = async (reference: string) => {
      const { Id, Config } = await engine.docker.getImage(reference).inspect();
      return { id: Id, env: Config.Env };
    };
    const found: string[] = [];
    for (const name of NAMES) {
      const { app } = await server.api.channel.unary(AppService.method.getApp, { name }, call);
      assert.ok(app);
      const member = deviceGroup?.apps.includes(name) === true;
      const containers = await managed(name);
      if (member) found.push(...(await differencesOf(app, containers, { instance: engine.instance, image })));
      else found.push(...containers.map(({ Name }) => `${Name} must not exist: ${name} is not in the device_group`));
      const status = (await server.api.device(worker.deviceId))?.report?.apps.find((each) => each.name === name);
      if (member && (status?.state !== TargetState.APPLIED || status.appliedRevision !== app.revision)) {
        found.push(`${name} is reported as ${status?.state} at ${status?.appliedRevision}, not applied at ${app.revision}: ${status?.reason}`);
      }
    }
    return found;
  };

  it(`a disturbed device has, ${CHAOS_MS / 60_000} minutes later, exactly the containers of its apps, and no foreign container was touched`, async () => {
    const { engine } = worker;
    await eventually(async () => (await differences()).length === 0, { timeoutMs: 60_000, everyMs: 250 });
    foreign = await Foreign.create(engine.docker, engine.instance);

    const counts = new Map<string, number>();
    const ended = AbortSignal.timeout(CHAOS_MS);
    const repeat = async (everyMs: number, work: () => Promise<string>) => {
      while (!ended.aborted) {
        const next = performance.now() + everyMs;
        try {
          const what = await work();
          note(what);
          counts.set(what, (counts.get(what) ?? 0) + 1);
        } catch (error) {
          note(`refused: ${error instanceof Error ? error.message.slice(0, 200) : String(error)}`); // what is disturbed may be away
        }
        await delay(Math.max(0, next - performance.now()));
      }
    };
    const programs = dice.deal(disturbancesOfPrograms({ server, worker, own: own(), dice }));
    const containers = dice.deal(ON_CONTAINERS);
    let changes = 0;
    await Promise.all([
      repeat(CHANGE_EVERY_MS, async () => {
        const what = await apps.change(server.api);
        changes++;
        return `change of ${what}`;
      }),
      repeat(DISTURB_PROGRAMS_EVERY_MS, async () => {
        const { name, run } = programs.next().value;
        note(`${name} ...`);
        await run();
        return name;
      }),
      repeat(DISTURB_CONTAINERS_EVERY_MS, async () => {
        const { name, run } = containers.next().value;
        const target = dice.of((await managed()).filter(({ State }) => State.Running));
        await run(engine.docker.getContainer(target.Id), engine.docker);
        return name;
      }),
    ]);

    console.log(`      seed ${dice.seed}: ${changes} changes; ${[...counts].map(([what, count]) => `${what} ${count}`).join(", ")}`);
    assert.ok(changes >= CHAOS_MS / CHANGE_EVERY_MS / 4, `only ${changes} changes were accepted`);
    for (const { name } of [...disturbancesOfPrograms({ server, worker, own: own(), dice }), ...ON_CONTAINERS]) {
      assert.ok((counts.get(name) ?? 0) >= 1, `${name} never happened`);
    }

    let left: string[] = [];
    const from = performance.now();
    await eventually(
      async () => {
        left = await differences();
        return left.length === 0;
      },
      { timeoutMs: CONVERGED_WITHIN_MS, everyMs: 500 },
    ).catch((error) => assert.fail(`${left.join("\n")}\n${error}`));
    console.log(`      as wanted ${Math.round(performance.now() - from)} ms after the last disturbance`);
    assert.deepEqual(await foreign.changes(), []);

    const ids = async () => (await managed()).map(({ Id, State }) => `${Id} ${State.StartedAt}`).sort();
    const before = await ids();
    assert.equal(await worker.stop(), 0);
    const boot = (await server.api.device(worker.deviceId))?.report?.boot;
    worker.startAgain();
    await eventually(
      async () => {
        const report = (await server.api.device(worker.deviceId))?.report;
        return report?.boot !== boot && report?.state === TargetState.APPLIED;
      },
      { timeoutMs: 30_000 },
    );
    assert.deepEqual(await ids(), before, "a worker that is started again touches nothing");
  });
});

/** Containers, a volume and a network that no worker may touch. */
class Foreign {
  readonly #docker: Docker;
  readonly #before: ReadonlyMap<string, string>;

  private constructor(docker: Docker, before: ReadonlyMap<string, string>) {
    this.#docker = docker;
    this.#before = before;
  }

  /** @param instance the worker's, of which one foreign container has copied labels */
  static async create(docker: Docker, instance: string): Promise<Foreign> {
    await docker.createVolume({ Name: "foreign-data" });
    await docker.createNetwork({ Name: "foreign-network" });
    const options = { Image: IMAGE, Cmd: FOREVER, HostConfig: { RestartPolicy: { Name: "always" }, Binds: ["foreign-data:/data"] } };
    const [managed] = await docker.listContainers({ filters: { label: [`nebula.instance=${instance}`] } });
    assert.ok(managed);
    await docker.getContainer(managed.Id).commit({ repo: "copy-of-managed", tag: "1" });
    const made = [
      await docker.createContainer({ ...options, name: "foreign-plain" }),
      await docker.createContainer({ ...options, name: "foreign-copy", Image: "copy-of-managed:1" }),
      await docker.createContainer({ ...options, name: "foreign-instance", Labels: { orchestrator: "nebula", "nebula.instance": newInstance() } }),
      await docker.createContainer({
        ...options,
        name: "foreign-cluster",
        Labels: { ...managed.Labels, app_name: "theirs", "nebula.cluster": `${"ab".repeat(16)}.1` },
      }),
    ];
    const before = new Map<string, string>();
    for (const container of made) {
      await container.start();
      before.set(container.id, await Foreign.#shown(container));
    }
    return new Foreign(docker, before);
  }

  get ids(): ReadonlySet<string> {
    return new Set(this.#before.keys());
  }

  /** The changes to them since, one sentence each. */
  async changes(): Promise<string[]> {
    const changes: string[] = [];
    for (const [id, before] of this.#before) {
      const after = await Foreign.#shown(this.#docker.getContainer(id)).catch((error) => String(error));
      if (after !== before) changes.push(`${before} became ${after}`);
    }
    for (const thing of [this.#docker.getVolume("foreign-data"), this.#docker.getNetwork("foreign-network")]) {
      await thing.inspect().catch((error) => changes.push(String(error)));
    }
    return changes;
  }

  /** Engine restarts start them again, by their restart policy: times and addresses are left out. */
  static async #shown(container: Docker.Container): Promise<string> {
    const { Name, State, Image, Config, HostConfig, NetworkSettings } = await container.inspect();
    const networks = Object.keys(NetworkSettings.Networks).sort();
    return JSON.stringify({ Name, Running: State.Running, Paused: State.Paused, Image, Labels: Config.Labels, Binds: HostConfig.Binds, networks });
  }
}
