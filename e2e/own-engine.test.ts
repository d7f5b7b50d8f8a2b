import { strict as assert } from "node:assert";
import { eventually } from "../common/testing/eventually.ts";
import { PullPolicy } from "../gen/nebula/v1/container_pb.ts";
import { FOREVER, IMAGE } from "./harness/engine.ts";
import { FleetRig } from "./harness/fleet-rig.ts";
import { OwnEngine } from "./harness/own-engine.ts";

describe("on an engine of its own", function () {
  this.timeout(120_000);
  const rig = FleetRig.describe();
  const own = OwnEngine.describe();

  it("a prune removes images that no container uses and the config does not name, once, and none else", async () => {
    const [web, idle] = [rig.name("web"), rig.name("idle")];
    const { engine, worker, group } = await rig.device([], { socket: own().socket });
    const tag = (what: string) => `nebula-e2e-${what}:1`;
    for (const what of ["unused", "used", "named"]) await engine.build(tag(what), `ENV WHAT=${what}`);
    await rig.api.createApp({ name: web, dockerImage: IMAGE, command: FOREVER });
    await rig.api.createApp({ name: idle, dockerImage: tag("named"), running: false });
    await rig.api.updateGroup(group, [web, idle]);
    await engine.settled(web, 1);
    const foreign = await engine.docker.createContainer({ Image: tag("used"), name: "foreign", Cmd: FOREVER });
    const isThere = async (reference: string) => (await engine.docker.listImages({ filters: { reference: [reference] } })).length > 0;

    const { pruneId } = await rig.api.prune(group);
    await eventually(async () => !(await isThere(tag("unused"))), { timeoutMs: 30_000 });
    await eventually(async () => (await rig.api.device(worker.deviceId))?.report?.pruneId === pruneId, { timeoutMs: 30_000 });
    for (const kept of [tag("used"), tag("named"), IMAGE]) assert.equal(await isThere(kept), true, kept);

    await engine.build(tag("unused"), "ENV WHAT=unused");
    await rig.api.updateApp(web, { envVars: { CHANGED: "1" } });
    await engine.settled(web, 1, ({ Config }) => Config.Env.includes("CHANGED=1"));
    assert.equal(await isThere(tag("unused")), true, "one prune is done once");
    await foreign.remove({ force: true });
  });

  it("the network nebula is made again when it was removed by hand", async () => {
    const web = rig.name("web");
    const { engine, worker, group } = await rig.device([], { socket: own().socket });
    await rig.api.reported(worker.deviceId);
    const network = engine.docker.getNetwork("nebula");
    await eventually(async () => (await network.inspect()).Name === "nebula");
    const { Id: before } = await network.inspect();
    await network.remove();
    await eventually(async () => (await network.inspect()).Id !== before, { timeoutMs: 20_000 });
    await rig.api.createApp({ name: web, dockerImage: IMAGE, command: FOREVER });
    await rig.api.updateGroup(group, [web]);
    await engine.settled(web, 1);
  });

  it("several networks nebula become one, the one that a container is on, and apps start", async () => {
    const [web, db] = [rig.name("web"), rig.name("db")];
    const app = { dockerImage: IMAGE, pullPolicy: PullPolicy.MISSING, command: FOREVER };
    for (const name of [web, db]) await rig.api.createApp({ ...app, name });
    const { engine, worker, group } = await rig.device([web], { socket: own().socket });
    await engine.settled(web, 1);
    const named = async () => (await engine.docker.listNetworks()).filter(({ Name }) => Name === "nebula").map(({ Id }) => Id);
    const used = await named();
    assert.equal(used.length, 1);
    await worker.stop();
    const twin = { Name: "nebula", Driver: "bridge", CheckDuplicate: false, Labels: { orchestrator: "nebula" } };
    for (let n = 0; n < 2; n++) await engine.docker.createNetwork(twin);
    assert.equal((await named()).length, 3);
    await rig.api.updateGroup(group, [web, db]);
    worker.startAgain();
    const [container] = await engine.settled(db, 1, () => true, 60_000);
    assert.deepEqual(await named(), used);
    assert.equal(container?.NetworkSettings.Networks.nebula?.NetworkID, used[0]);
    assert.doesNotMatch(worker.program.output, /ambiguous/);
  });

  it("an engine that is stopped and started again is followed again", async () => {
    const web = rig.name("web");
    await rig.api.createApp({ name: web, dockerImage: IMAGE, command: FOREVER });
    const { engine, worker } = await rig.device([web], { socket: own().socket });
    await engine.settled(web, 1);
    await own().stopDaemon();
    await rig.api.updateApp(web, { envVars: { VERSION: "2" } });
    assert.equal(worker.program.ended, false);
    await own().startDaemon();
    const [container] = await engine.settled(web, 1, ({ Config }) => Config.Env.includes("VERSION=2"), 60_000);
    await engine.docker.getContainer(container?.Id ?? "").remove({ force: true });
    await engine.settled(web, 1, ({ Id }) => Id !== container?.Id);
  });
});
