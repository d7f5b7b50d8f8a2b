import { strict as assert } from "node:assert";
import { setTimeout as delay } from "node:timers/promises";
import { throughout } from "../common/testing/throughout.ts";
import { ReportService, TargetState } from "../gen/nebula/v1/report_pb.ts";
import { FOREVER, IMAGE } from "./harness/engine.ts";
import { FleetRig } from "./harness/fleet-rig.ts";
import { Server } from "./harness/server.ts";

/** How long the manager is away: a minute in the long run. */
const AWAY_MS = process.env.NEBULA_TEST_LONG === "1" ? 60_000 : 5_000;

describe("outages", function () {
  this.timeout(180_000);
  const rig = FleetRig.describe();

  const running = async () => {
    const web = rig.name("web");
    await rig.api.createApp({ name: web, dockerImage: IMAGE, command: FOREVER, envVars: { VERSION: "1" } });
    const device = await rig.device([web]);
    const [container] = await device.engine.settled(web, 1);
    assert.ok(container);
    return { web, ...device, container };
  };

  it(`an outage of the manager for ${AWAY_MS / 1000} s changes nothing on the device, drift is repaired meanwhile, and a change made by a manager that came back arrives`, async () => {
    const { web, engine, container } = await running();
    await rig.server.stop();
    await throughout(AWAY_MS, async () => assert.equal((await engine.running(web))[0]?.Id, container.Id), { everyMs: 500 });
    await engine.docker.getContainer(container.Id).remove({ force: true });
    await engine.settled(web, 1, ({ Id }) => Id !== container.Id);
    await rig.server.startAgain();
    await rig.api.updateApp(web, { envVars: { VERSION: "2" } });
    await engine.settled(web, 1, ({ Config }) => Config.Env.includes("VERSION=2"), 90_000);
  });

  it("an outage of the device's link ends with the change made meanwhile", async () => {
    const { web, engine, worker, container } = await running();
    assert.equal(await worker.stop(), 0);
    assert.match(worker.program.output, /the worker stopped; its containers keep running/);
    await rig.api.updateApp(web, { envVars: { VERSION: "2" } });
    assert.equal((await engine.running(web))[0]?.Id, container.Id, "a stopped worker leaves its containers running");
    worker.startAgain();
    await engine.settled(web, 1, ({ Config }) => Config.Env.includes("VERSION=2"));
  });

  it("a worker that starts without a manager restores its last good config", async () => {
    const { web, engine, worker } = await running();
    await worker.stop();
    await engine.clean();
    worker.startAgain({ server: { grpcUrl: "grpc://127.0.0.1:1", password: "none" } });
    await engine.settled(web, 1);
  });

  it("a worker that is killed and started again leaves what has not changed alone", async () => {
    const { web, engine, worker, container } = await running();
    await worker.kill();
    worker.startAgain();
    await rig.api.appStatus(worker.deviceId, web, ({ state }) => state === TargetState.APPLIED);
    await delay(1500); // long enough for a few rounds: what must not happen can't be waited for
    const [after] = await engine.settled(web, 1);
    assert.equal(after?.Id, container.Id);
    assert.equal(after?.State.StartedAt, container.State.StartedAt);
  });
});

describe("deletes and other servers", function () {
  this.timeout(120_000);
  const rig = FleetRig.describe();

  it("an app that is deleted leaves nothing behind, and one that is created again under its name is followed", async () => {
    const web = rig.name("web");
    await rig.api.createApp({ name: web, dockerImage: IMAGE, command: FOREVER });
    const { engine } = await rig.device([web]);
    await engine.settled(web, 1);
    assert.equal(await rig.api.deleteApp(web), 2n);
    await engine.settled(web, 0);
    const again = await rig.api.createApp({ name: web, dockerImage: IMAGE, command: FOREVER, envVars: { AGAIN: "1" } });
    assert.equal(again.revision, 3n);
    await engine.settled(web, 1, ({ Config }) => Config.Env.includes("AGAIN=1"));
  });

  it("a device_group that is deleted crashes no worker: its devices keep their containers, and follow when it exists again", async () => {
    const web = rig.name("web");
    await rig.api.createApp({ name: web, dockerImage: IMAGE, command: FOREVER });
    const { engine, worker, group } = await rig.device([web]);
    const [before] = await engine.settled(web, 1);
    await rig.api.deleteGroup(group);
    await rig.api.updateApp(web, { envVars: { UNSEEN: "1" } });
    await delay(1000); // what must not happen can't be waited for
    assert.equal(worker.program.ended, false);
    assert.equal((await engine.running(web))[0]?.Id, before?.Id);
    await rig.api.createGroup(group, [web]);
    await engine.settled(web, 1, ({ Config }) => Config.Env.includes("UNSEEN=1"));
  });

  it("a device that followed one server is pointed at one that is older and has lower revisions, and converges", async () => {
    const web = rig.name("web");
    await rig.api.createApp({ name: web, dockerImage: IMAGE, command: FOREVER, envVars: { SERVER: "older" } });
    await using newer = await Server.start();
    await newer.api.createApp({ name: web, dockerImage: IMAGE, command: FOREVER, envVars: { SERVER: "newer" } });
    for (let i = 0; i < 5; i++) await newer.api.startApp(web);
    const group = rig.name("group");
    await newer.api.createGroup(group, [web]);
    const { engine, worker } = await rig.device([web], { server: newer, deviceGroup: group });
    await engine.settled(web, 1, ({ Config }) => Config.Env.includes("SERVER=newer"));
    assert.equal((await newer.api.appStatus(worker.deviceId, web, ({ state }) => state === TargetState.APPLIED)).appliedRevision, 6n);
    await worker.stop();
    worker.startAgain({ server: rig.server });
    await engine.settled(web, 1, ({ Config }) => Config.Env.includes("SERVER=older"));
    const status = await rig.api.appStatus(worker.deviceId, web, ({ state }) => state === TargetState.APPLIED);
    assert.equal(status.appliedRevision, 1n);
    const { reports } = await rig.api.channel.unary(ReportService.method.listReports, { deviceId: worker.deviceId }, { headers: rig.api.headers });
    assert.ok(
      reports.some(({ report }) => report?.problems.some(({ code }) => code === "cluster_changed")),
      "the log says it once",
    );
  });
});
