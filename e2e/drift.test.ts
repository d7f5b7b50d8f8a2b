import { strict as assert } from "node:assert";
import { TargetState } from "../gen/nebula/v1/report_pb.ts";
import { FOREVER, IMAGE } from "./harness/engine.ts";
import { FleetRig } from "./harness/fleet-rig.ts";

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

  it("a container that is not ours is never touched, also one that has the name of ours: that is told until it goes", async () => {
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
