import { strict as assert } from "node:assert";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ManualClock } from "../common/clock/manual-clock.ts";
import { isNebulaError, messageOf } from "../common/errors/nebula-error.ts";
import { silentLog } from "../common/log/log.ts";
import { configOf } from "../common/testing/config-builder.ts";
import { eventually } from "../common/testing/eventually.ts";
import { TargetState } from "../gen/nebula/v1/report_pb.ts";
import { openLastGood } from "./data/data-folder.ts";
import { type RunningWorker, startWorker, type WorkerOptions, type WorkerSettings } from "./main.ts";
import { SimulatedRuntime } from "./runtime/simulated/simulated.ts";
import { FakeConnection } from "./testing/fake-connection.ts";

const signal = new AbortController().signal;

describe("a worker", () => {
  const clock = new ManualClock();
  let folder: string;
  let runtime: SimulatedRuntime;
  let connection: FakeConnection;
  let worker: RunningWorker | undefined;

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), "nebula-worker-"));
    runtime = new SimulatedRuntime({ clock, images: ["shop:1", "shop:2"] });
    connection = new FakeConnection();
  });
  afterEach(async () => {
    await worker?.stop();
    worker = undefined;
    await runtime[Symbol.asyncDispose]();
    await rm(folder, { recursive: true, force: true });
  });

  async function start(changes: Partial<WorkerSettings> = {}, engine: Pick<WorkerOptions, "runtime"> = { runtime }): Promise<RunningWorker> {
    await worker?.stop();
    worker = await startWorker({
      settings: {
        server: { protocol: "grpc", host: "127.0.0.1", port: 1 },
        credentials: undefined,
        deviceGroup: "shop",
        deviceId: "device-1",
        instance: "main",
        keepaliveMs: 300_000,
        reportIntervalMs: 12 * 3_600_000,
        runtime: "simulated:",
        adopt: true,
        keepImages: 1,
        enrollToken: undefined,
        tokenRotationMs: 0,
        maxRestartWaitMs: 0,
        workerDataDir: folder,
        ...changes,
      },
      clock,
      log: silentLog,
      ...engine,
      connection: connection.open,
    });
    await worker.deviceId;
    return worker;
  }

  const shown = () =>
    runtime
      .snapshot()
      .map(({ name, phase }) => `${name} ${phase}`)
      .sort();

  /** Waits, letting the time pass that anything asks for. */
  const until = (check: () => boolean) =>
    eventually(async () => {
      await clock.advance(50);
      return check();
    });

  it("a worker runs the containers of its group's config, and reports them", async () => {
    await start();
    connection.say({ kind: "connected", address: "127.0.0.1:1" });
    connection.push(configOf({ apps: { web: {} } }), "e1");
    await until(() => connection.newest?.apps[0]?.appliedRevision === 1n);
    assert.deepEqual(shown(), ["web-1 running"]);
    const report = connection.newest;
    assert.equal(report?.deviceId, "device-1");
    assert.equal(report?.etag, "e1");
    assert.equal(report?.state, TargetState.APPLIED);
    assert.equal(report?.cluster?.id, "c1");
    assert.equal(report?.apps[0]?.containers[0]?.name, "web-1");
    assert.equal(report?.host?.hostname, "simulated");
    assert.equal(connection.heldEtag, "e1");
  });

  it("a worker continues with its last good config without a connection, and a stop leaves containers running", async () => {
    await start();
    connection.push(configOf({ apps: { web: {} } }), "e1");
    await until(() => shown().length === 1);
    await worker?.stop();
    assert.deepEqual(shown(), ["web-1 running"]);
    for (const { id } of runtime.snapshot()) await runtime.remove(id, { force: true }, signal);
    connection = new FakeConnection();
    connection.isUp = false;
    await start();
    await until(() => shown().join() === "web-1 running");
    assert.equal(connection.heldEtag, "e1", "unchanged bytes need not be sent again");
  });

  it("a worker does not run another group's last good config, nor claim its etag", async () => {
    await start();
    connection.push(configOf({ apps: { web: {} } }), "e1");
    await until(() => shown().length === 1);
    await start({ deviceGroup: "another" });
    assert.equal(connection.heldEtag, "");
    await until(() => worker?.report() !== undefined);
    assert.equal(worker?.report()?.apps.length, 0);
    assert.deepEqual(shown(), ["web-1 running"], "what runs is kept until a config has come");
  });

  it("a worker continues in memory where nothing can be saved, reports that, and saves its state once that is possible", async () => {
    const blocked = join(folder, "blocked");
    await writeFile(blocked, "a file where the folder should be");
    await start({ workerDataDir: blocked });
    connection.push(configOf({ apps: { web: {} } }), "e1");
    await until(() => connection.newest?.apps[0]?.appliedRevision === 1n);
    assert.deepEqual(
      connection.newest?.problems.map(({ code }) => code),
      ["state_not_saved"],
    );
    assert.equal(connection.newest?.state, TargetState.APPLIED);
    assert.equal((await openLastGood(join(folder, "nothing"), silentLog)).loaded.config, undefined);
    await rm(blocked);
    await mkdir(blocked);
    await clock.advance(60_000);
    await until(() => connection.newest?.problems.length === 0);
    await worker?.stop();
    assert.equal((await openLastGood(blocked, silentLog)).loaded.config?.etag, "e1");
  });

  it("a worker follows another cluster with lower revisions, and reports that once", async () => {
    await start();
    connection.push(configOf({ apps: { web: { revision: 9n } } }), "e1");
    await until(() => connection.newest?.apps[0]?.appliedRevision === 9n);
    connection.push(configOf({ cluster: { id: "c2", epoch: 1n }, apps: { web: { revision: 2n, dockerImage: "shop:2" } } }), "e2");
    await until(() => connection.newest?.apps[0]?.appliedRevision === 2n);
    connection.push(configOf({ cluster: { id: "c2", epoch: 1n }, apps: { web: { revision: 3n } } }), "e3");
    await until(() => connection.newest?.apps[0]?.appliedRevision === 3n);
    const told = connection.reports.filter(({ problems }) => problems.some(({ code }) => code === "cluster_changed"));
    assert.equal(told.length, 1);
    assert.equal(told[0]?.etag, "e2");
  });

  it("a worker leaves containers of a cluster that its data folder never followed, until that is taken over, which is reported once", async () => {
    await start();
    connection.push(configOf({ cluster: { id: "c9", epoch: 1n }, apps: { web: {} } }), "e1");
    await until(() => shown().length === 1);
    const fresh = { workerDataDir: join(folder, "fresh") };
    await start(fresh);
    connection.push(configOf({ apps: { db: {} } }), "e1");
    await until(() => connection.newest?.problems[0]?.code === "foreign_cluster");
    assert.match(connection.newest?.problems[0]?.message ?? "", /^containers web-1 are of cluster c9, .*NEBULA_TAKE_OVER=c9$/);
    assert.equal(connection.newest?.state, TargetState.APPLIED, "it is not a failure of the device");
    assert.deepEqual(shown(), ["db-1 running", "web-1 running"]);
    await start({ ...fresh, takeOver: ["c9"] });
    await until(() => shown().join() === "db-1 running");
    await start(fresh);
    await start({ ...fresh, workerDataDir: folder });
    await worker?.stop();
    assert.deepEqual((await openLastGood(fresh.workerDataDir, silentLog)).loaded.config?.followed, ["c9", "c1"]);
  });

  it("a worker shares its data folder with no other worker, and releases it at its end", async () => {
    const { stop } = await start();
    worker = undefined;
    const refused = (error: unknown) => isNebulaError(error, "failed_precondition") && error.message.includes(folder);
    await assert.rejects(start(), refused);
    await stop();
    await (await start()).stop();
    await assert.rejects(start({ deviceGroup: undefined }), { kind: "invalid_argument" }); // a start that fails gives it back, too
    await start();
  });

  it("a worker reports after a start the revision that was applied before it, not the one that its container was made for", async () => {
    await start();
    connection.push(configOf({ apps: { web: {} } }), "e1");
    await until(() => connection.newest?.apps[0]?.appliedRevision === 1n);
    connection.push(configOf({ groupRevision: 2n, apps: { web: { revision: 5n, stopGraceSeconds: 3 } } }), "e2");
    await until(() => connection.newest?.apps[0]?.appliedRevision === 5n);
    connection.push(configOf({ groupRevision: 3n, apps: { web: { revision: 6n, networks: ["missing"] } } }), "e3");
    await until(() => connection.newest?.apps[0]?.state === TargetState.FAILED);
    await worker?.stop();
    connection = new FakeConnection();
    await start();
    await until(() => connection.newest?.apps[0]?.state === TargetState.FAILED);
    assert.equal(runtime.snapshot()[0]?.labels["nebula.id"], "1");
    assert.equal(connection.newest?.apps[0]?.appliedRevision, 5n);
  });

  it("a worker keeps its containers running when its group is gone, and reports that", async () => {
    await start();
    connection.push(configOf({ apps: { web: {} } }), "e1");
    await until(() => connection.newest?.apps[0]?.appliedRevision === 1n);
    connection.say({ kind: "no_such_group" });
    await until(() => connection.newest?.problems[0]?.code === "no_such_group");
    assert.deepEqual(shown(), ["web-1 running"]);
    connection.say({ kind: "unchanged" });
    await until(() => connection.newest?.problems.length === 0);
  });

  it("a worker follows an engine that stops and comes back, and reports meanwhile that it is unreachable", async () => {
    await start();
    connection.push(configOf({ apps: { web: {} } }), "e1");
    await until(() => connection.newest?.apps[0]?.appliedRevision === 1n);
    runtime.shutDown();
    await until(() => connection.newest?.problems[0]?.code === "engine_unreachable");
    assert.equal(connection.newest?.state, TargetState.FAILED);
    connection.push(configOf({ apps: { web: { revision: 2n, dockerImage: "shop:2" } } }), "e2");
    await until(() => connection.newest?.etag === "e2");
    assert.equal(connection.newest?.apps[0]?.appliedRevision, 1n);
    runtime.boot();
    await until(() => connection.newest?.apps[0]?.appliedRevision === 2n);
    assert.deepEqual(connection.newest?.problems, []);
    assert.match(runtime.snapshot()[0]?.image ?? "", /shop:2/);
  });

  it("a worker belongs to the device_group that its own token is bound to, and to no other", async () => {
    const token = {
      deviceId: "device-1",
      confirmed: { token: "t1", deviceGroup: "shop", since: clock.now() },
      previous: undefined,
      pending: undefined,
    };
    await (await openLastGood(folder, silentLog)).saveDeviceToken(token);
    await start({ deviceGroup: undefined, credentials: { kind: "token", token: "given" } });
    assert.equal(await worker?.deviceGroup, "shop");
    assert.equal(connection.authorization, "Bearer t1");
    connection.say({ kind: "connected", address: "127.0.0.1:1" });
    connection.push(configOf({ apps: { web: {} } }), "e1");
    await until(() => connection.newest?.apps[0]?.appliedRevision === 1n);
    assert.equal(connection.newest?.deviceGroup, "shop");
    await assert.rejects(
      start({ deviceGroup: "pos" }),
      (error) => isNebulaError(error, "failed_precondition") && /'shop'.*'pos'/.test(error.message),
    );
    assert.deepEqual(shown(), ["web-1 running"]);
    await start({ deviceId: "device-2", deviceGroup: "pos", credentials: { kind: "token", token: "given" } });
    await until(() => connection.authorization === "Bearer given"); // a token of another device id is not this device's
  });

  it("a worker keeps its device id with its token, where only that is left", async () => {
    const token = {
      deviceId: "device-9",
      confirmed: { token: "t1", deviceGroup: "shop", since: clock.now() },
      previous: undefined,
      pending: undefined,
    };
    await (await openLastGood(folder, silentLog)).saveDeviceToken(token);
    assert.equal(await (await start({ deviceId: undefined })).deviceId, "device-9");
  });

  it("a worker follows its last good config while it cannot be enrolled", async () => {
    await start();
    connection.push(configOf({ apps: { web: {} } }), "e1");
    await until(() => shown().length === 1);
    await worker?.stop();
    for (const { id } of runtime.snapshot()) await runtime.remove(id, { force: true }, signal);
    await start({ enrollToken: "of a server that is not there" });
    await until(() => shown().join() === "web-1 running");
  });

  it("a worker does not start without a device_group, or with an engine of an unknown kind", async () => {
    const refused = (error: unknown) => isNebulaError(error, "invalid_argument");
    await assert.rejects(start({ deviceGroup: undefined }), refused);
    await assert.rejects(start({ runtime: "podman:" }, {}), (error) => refused(error) && messageOf(error).includes("podman:"));
    await start(); // the data folder was released
  });
});
