import { strict as assert } from "node:assert";
import { systemClock } from "../common/clock/system-clock.ts";
import { eventually } from "../common/testing/eventually.ts";
import { TargetState } from "../gen/nebula/v1/report_pb.ts";
import { Engine, FOREVER, IMAGE, newInstance } from "./harness/engine.ts";
import { FleetRig } from "./harness/fleet-rig.ts";
import { startInProcess } from "./harness/in-process-worker.ts";
import { JumpingClock } from "./harness/jumping-clock.ts";

describe("what is changed on a device by hand is put right", function () {
  this.timeout(90_000);
  const rig = FleetRig.describe();
  const running = async () => {
    const web = rig.name("web");
    await rig.api.createApp({ name: web, dockerImage: IMAGE, command: FOREVER });
    const device = await rig.device([web]);
    const [container] = await device.engine.settled(web, 1);
    assert.ok(container);
    return { web, ...device, container, docker: device.engine.docker.getContainer(container.Id) };
  };

  it("a container that was removed is made again", async () => {
    const { web, engine, container, docker } = await running();
    await docker.remove({ force: true });
    await engine.settled(web, 1, ({ Id }) => Id !== container.Id);
  });

  it("a container that was stopped is started again", async () => {
    const { web, engine, docker } = await running();
    await docker.stop({ t: 1 });
    await engine.settled(web, 1);
  });

  it("a container that was killed runs again", async () => {
    const { web, engine, container, docker } = await running();
    await docker.kill();
    await engine.settled(web, 1, ({ State }) => State.StartedAt !== container.State.StartedAt);
  });

  it("a container that was removed, and one that was stopped, are counted as repairs in the reports of the device, and an update is not", async () => {
    const [web, group, instance] = [rig.name("web"), rig.name("group"), newInstance()];
    await rig.api.createApp({ name: web, dockerImage: IMAGE, command: FOREVER });
    await rig.api.createGroup(group, [web], []);
    const engine = new Engine(instance);
    rig.defer(() => engine.clean());
    const deviceId = `device-${instance}`;
    const worker = rig.use(await startInProcess({ server: rig.server, clock: systemClock, deviceGroup: group, deviceId, instance }));
    const repairs = () => worker.report()?.repairs;
    const [first] = await engine.settled(web, 1);
    await rig.api.appStatus(deviceId, web, ({ state }) => state === TargetState.APPLIED);
    assert.equal(repairs(), 0n);
    await engine.docker.getContainer(first?.Id ?? "").remove({ force: true });
    const [second] = await engine.settled(web, 1, ({ Id }) => Id !== first?.Id);
    await eventually(() => repairs() === 1n, { timeoutMs: 20_000 });
    await engine.docker.getContainer(second?.Id ?? "").stop({ t: 1 });
    await eventually(() => repairs() === 2n, { timeoutMs: 20_000 });
    await rig.api.updateApp(web, { envVars: { CHANGED: "1" } });
    await engine.settled(web, 1, ({ Id }) => Id !== second?.Id);
    await eventually(() => worker.report()?.apps[0]?.state === TargetState.APPLIED && worker.report()?.apps[0]?.appliedRevision === 2n, {
      timeoutMs: 20_000,
    });
    assert.equal(repairs(), 2n);
  });

  it("a container that was renamed has its name back", async () => {
    const { web, engine, container, docker } = await running();
    await docker.rename({ name: `renamed-${engine.instance}` });
    await engine.settled(web, 1, ({ Name, Id }) => Name === container.Name && Id === container.Id);
  });

  it("a container that was disconnected from its network is connected again", async () => {
    const { web, engine, container } = await running();
    await engine.docker.getNetwork("nebula").disconnect({ Container: container.Id });
    await engine.settled(web, 1, ({ Id, NetworkSettings }) => Id === container.Id && "nebula" in NetworkSettings.Networks);
  });

  it("a container that is not ours is never touched, also one that has the name of ours: that is reported until it is gone", async () => {
    const { web, engine, worker, container, docker } = await running();
    const foreign = await engine.docker.createContainer({ Image: IMAGE, name: `${engine.instance}-${web}-2`, Cmd: FOREVER });
    rig.defer(() => foreign.remove({ force: true }).catch(() => {}));
    await foreign.start();
    const { State: before } = await foreign.inspect();
    await rig.api.updateApp(web, { containersPer: { per: { case: "server", value: 2 } } });
    const refused = await rig.api.appStatus(worker.deviceId, web, ({ state }) => state === TargetState.FAILED);
    assert.match(refused.reason, new RegExp(`${engine.instance}-${web}-2`));
    await docker.remove({ force: true });
    await engine.settled(web, 1, ({ Id }) => Id !== container.Id);
    const { State: after } = await foreign.inspect();
    assert.deepEqual([after.Running, after.StartedAt], [true, before.StartedAt]);
    await foreign.remove({ force: true });
    await engine.settled(web, 2);
  });

  it("a container that was paused by hand is unpaused after 2 minutes, and never restarted", async () => {
    const [web, group, instance] = [rig.name("web"), rig.name("group"), newInstance()];
    await rig.api.createApp({ name: web, dockerImage: IMAGE, command: FOREVER });
    await rig.api.createGroup(group, [web], []);
    const clock = new JumpingClock();
    const engine = new Engine(instance);
    rig.defer(() => engine.clean());
    const worker = rig.use(await startInProcess({ server: rig.server, clock, deviceGroup: group, deviceId: `device-${instance}`, instance }));
    const [before] = await engine.settled(web, 1);
    const container = engine.docker.getContainer(before?.Id ?? "");
    await container.pause();
    const status = () => worker.report()?.apps.find(({ name }) => name === web);
    await eventually(() => status()?.state === TargetState.WORKING && status()?.step === "paused", { timeoutMs: 20_000 });
    assert.match(status()?.notes.join() ?? "", /is paused; it is unpaused when it has been so for 2 minutes/);
    assert.equal((await container.inspect()).State.Paused, true, "it is left alone");
    clock.jump(120_000);
    await eventually(() => status()?.state === TargetState.APPLIED, { timeoutMs: 20_000 });
    const { State } = await container.inspect();
    assert.deepEqual([State.Paused, State.StartedAt], [false, before?.State.StartedAt]);
  });

  it("an unhealthy container is restarted, its time printed", async () => {
    const web = rig.name("sick");
    // healthy for its first second and a half, then not, in every life
    const command = ["sh", "-c", "touch /ok; sleep 1.5; rm /ok; trap 'exit 0' TERM; sleep 1000000 & wait"];
    await rig.api.createApp({
      name: web,
      dockerImage: IMAGE,
      command,
      healthcheck: { test: ["CMD", "test", "-e", "/ok"], intervalMs: 300, retries: 1 },
    });
    const { engine, worker } = await rig.device([web]);
    const [first] = await engine.settled(web, 1);
    assert.ok(first);
    let unhealthyAt: number | undefined;
    const { State } = await (async () => {
      for (;;) {
        const info = await engine.docker.getContainer(first.Id).inspect();
        if (info.State.Health?.Status === "unhealthy") unhealthyAt ??= performance.now();
        if (info.State.StartedAt !== first.State.StartedAt && info.State.Running) return info;
        await new Promise((resolve) => setTimeout(resolve, 10));
      }
    })();
    assert.ok(unhealthyAt !== undefined);
    console.log(`      unhealthy to running again: ${(performance.now() - unhealthyAt).toFixed(0)} ms (looked at every 10 ms)`);
    assert.equal(State.Running, true);
    await rig.api.appStatus(worker.deviceId, web, ({ containers }) => containers.length === 1);
  });
});
