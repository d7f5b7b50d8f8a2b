import { strict as assert } from "node:assert";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { eventually } from "../common/testing/eventually.ts";
import { freePort } from "../common/testing/free-port.ts";
import { PortProtocol } from "../gen/nebula/v1/app_pb.ts";
import { PullPolicy } from "../gen/nebula/v1/container_pb.ts";
import { TargetState } from "../gen/nebula/v1/report_pb.ts";
import { FOREVER, hostPort, IMAGE } from "./harness/engine.ts";
import { FleetRig } from "./harness/fleet-rig.ts";

describe("a change of an app reaches the containers of its devices", function () {
  this.timeout(90_000);
  const rig = FleetRig.describe();

  it("a change goes from one API call to a running container, its time printed", async () => {
    const web = rig.name("web");
    const { engine, worker, group } = await rig.device([]);
    await rig.api.createApp({ name: web, dockerImage: IMAGE, command: FOREVER });
    await rig.api.reported(worker.deviceId);
    const start = performance.now();
    await rig.api.updateGroup(group, [web]);
    await engine.settled(web, 1);
    console.log(`      API answer to running container, image present: ${(performance.now() - start).toFixed(0)} ms (looked at every 50 ms)`);
    const [container] = await engine.containers(web);
    assert.equal(container?.Config.Labels.orchestrator, "nebula");
    assert.equal(container?.Config.Labels.container_type, "app");
    assert.equal(container?.Config.Labels.app_name, web);
    assert.equal(container?.HostConfig.RestartPolicy?.Name, "unless-stopped");
  });

  it("a change of the image reaches the containers", async () => {
    const web = rig.name("web");
    const { engine } = await rig.device([(await rig.api.createApp({ name: web, dockerImage: IMAGE, command: FOREVER })).name]);
    await engine.settled(web, 1);
    const tag = `nebula-e2e-${engine.instance}:2`;
    await engine.build(tag, "ENV VERSION=2");
    rig.deferLast(() => engine.docker.getImage(tag).remove({ force: true }));
    await rig.api.updateApp(web, { dockerImage: tag });
    const [container] = await engine.settled(web, 1, ({ Config }) => Config.Image.includes(tag));
    assert.ok(container?.Config.Env.includes("VERSION=2"));
  });

  it("a change of ports: single, mapped, UDP, and one more for each container", async () => {
    const web = rig.name("web");
    const [first, mapped] = [await freePort(), await freePort(2)];
    await rig.api.createApp({ name: web, dockerImage: IMAGE, command: FOREVER, startingPorts: [{ hostPort: first, containerPort: first }] });
    const { engine } = await rig.device([web]);
    const [before] = await engine.settled(web, 1);
    assert.equal(before && hostPort(before, `${first}/tcp`), first);
    await rig.api.updateApp(web, {
      startingPorts: [
        { hostPort: mapped, containerPort: 80 },
        { hostPort: mapped, containerPort: 53, protocol: PortProtocol.UDP },
      ],
      containersPer: { per: { case: "server", value: 2 } },
    });
    const after = await engine.settled(web, 2, (info) => hostPort(info, "80/tcp") !== undefined);
    assert.deepEqual(
      after.map((info) => [hostPort(info, "80/tcp"), hostPort(info, "53/udp")]),
      [
        [mapped, mapped],
        [mapped + 1, mapped + 1],
      ],
    );
  });

  it("a change of env, one variable by its name too, with the device's own variables filled in", async () => {
    const web = rig.name("web");
    await rig.api.createApp({
      name: web,
      dockerImage: IMAGE,
      command: FOREVER,
      envVars: { A: "1", B: "2", WHO: "${NEBULA_DEVICE_ID} in ${NEBULA_DEVICE_GROUP}, ${OTHER}, $${NEBULA_DEVICE_ID}" },
    });
    const { engine, worker, group } = await rig.device([web]);
    const [before] = await engine.settled(web, 1);
    assert.ok(before?.Config.Env.includes(`WHO=${worker.deviceId} in ${group}, \${OTHER}, \${NEBULA_DEVICE_ID}`), String(before?.Config.Env));
    await rig.api.updateApp(web, { envVars: { B: "3" } }, { updateFields: ["env_vars.B", "env_vars.A"] });
    const [after] = await engine.settled(web, 1, ({ Config }) => Config.Env.includes("B=3"));
    assert.ok(!after?.Config.Env.some((line) => line.startsWith("A=")));
  });

  it("a change of volumes: of the host, named, and read-only", async () => {
    const web = rig.name("web");
    const folder = mkdtempSync(join(tmpdir(), "nebula-e2e-volume-"));
    rig.defer(() => rmSync(folder, { recursive: true }));
    writeFileSync(join(folder, "greeting"), "hello");
    await rig.api.createApp({ name: web, dockerImage: IMAGE, command: FOREVER });
    const { engine } = await rig.device([web]);
    await engine.settled(web, 1);
    const volume = `nebula-e2e-${engine.instance}`;
    rig.deferLast(() => engine.docker.getVolume(volume).remove());
    await rig.api.updateApp(web, { volumes: [`${folder}:/in:ro`, `${volume}:/data`] });
    const [container] = await engine.settled(web, 1, ({ Mounts }) => Mounts.length === 2);
    assert.deepEqual(container?.Mounts.map(({ Destination, RW }) => [Destination, RW]).sort(), [
      ["/data", true],
      ["/in", false],
    ]);
  });

  it("a change of devices reaches the containers", async () => {
    const web = rig.name("web");
    await rig.api.createApp({ name: web, dockerImage: IMAGE, command: FOREVER });
    const { engine } = await rig.device([web]);
    await engine.settled(web, 1);
    await rig.api.updateApp(web, { devices: ["/dev/null:/dev/nothing:rw"] });
    const [container] = await engine.settled(web, 1, ({ HostConfig }) => (HostConfig.Devices ?? []).length > 0);
    assert.deepEqual(container?.HostConfig.Devices, [{ PathOnHost: "/dev/null", PathInContainer: "/dev/nothing", CgroupPermissions: "rw" }]);
  });

  it("a change of networks: nebula besides the listed ones, where containers find each other by name; or the host's alone", async () => {
    const [web, db] = [rig.name("web"), rig.name("db")];
    await rig.api.createApp({ name: web, dockerImage: IMAGE, command: FOREVER });
    await rig.api.createApp({ name: db, dockerImage: IMAGE, command: FOREVER });
    const { engine } = await rig.device([web, db]);
    const network = `nebula-e2e-${engine.instance}`;
    await engine.docker.createNetwork({ Name: network });
    rig.deferLast(() => engine.docker.getNetwork(network).remove());
    await engine.settled(db, 1);
    const [byDefault] = await engine.settled(web, 1);
    assert.deepEqual(Object.keys(byDefault?.NetworkSettings.Networks ?? {}).sort(), ["bridge", "nebula"]);
    assert.equal(await engine.exec(byDefault?.Id ?? "", ["ping", "-c", "1", "-W", "5", `${engine.instance}-${db}-1`]), 0);
    assert.notEqual(await engine.exec(byDefault?.Id ?? "", ["ping", "-c", "1", "-W", "5", `${engine.instance}-${db}-2`]), 0);
    await rig.api.updateApp(web, { networks: [network] });
    await engine.settled(web, 1, ({ NetworkSettings }) => Object.keys(NetworkSettings.Networks).sort().join() === ["nebula", network].sort().join());
    await rig.api.updateApp(web, { networks: ["host"] });
    await engine.settled(web, 1, ({ HostConfig }) => HostConfig.NetworkMode === "host");
  });

  it("a change of privileges reaches the containers", async () => {
    const web = rig.name("web");
    await rig.api.createApp({ name: web, dockerImage: IMAGE, command: FOREVER });
    const { engine, worker } = await rig.device([web]);
    const [before] = await engine.settled(web, 1);
    await rig.api.updateApp(web, { privileged: true });
    await eventually(async () => (await engine.containers(web)).some(({ HostConfig }) => HostConfig.Privileged === true), { everyMs: 10 });
    if (await engine.runsPrivileged()) {
      await engine.settled(web, 1, ({ HostConfig }) => HostConfig.Privileged === true);
    } else {
      // an engine that is itself confined refuses the start: then that has to be told, and the container before to run
      await rig.api.appStatus(
        worker.deviceId,
        web,
        ({ state, step, reason }) => state === TargetState.FAILED && step === "start" && /permitted|denied/.test(reason),
      );
      await engine.settled(web, 1, ({ Id }) => Id === before?.Id);
    }
    await rig.api.updateApp(web, { privileged: false, envVars: { VERSION: "2" } });
    await engine.settled(web, 1, ({ HostConfig, Config }) => HostConfig.Privileged === false && Config.Env.includes("VERSION=2"));
  });

  it("a change of capabilities, limits, and the other fields of a container", async () => {
    const web = rig.name("web");
    await rig.api.createApp({ name: web, dockerImage: IMAGE, command: FOREVER });
    const { engine } = await rig.device([web]);
    await engine.settled(web, 1);
    await rig.api.updateApp(web, {
      capAdd: ["NET_ADMIN"],
      capDrop: ["MKNOD"],
      cpus: 0.5,
      memoryLimitMb: 64,
      user: "1000",
      workingDir: "/tmp",
      hostname: "till",
      extraHosts: ["db:10.0.0.1"],
      shmSizeMb: 32,
      tmpfs: { "/scratch": "size=1m" },
      readOnly: true,
      init: true,
      labels: { shop: "berlin" },
      ulimits: [{ name: "nofile", soft: 1024n, hard: 2048n }],
      logging: { driver: "json-file", options: { "max-size": "1m" } },
      healthcheck: { test: ["CMD-SHELL", "true"], intervalMs: 1000 },
      stopGraceSeconds: 3,
    });
    const [container] = await engine.settled(web, 1, ({ HostConfig }) => HostConfig.Memory === 64 * 2 ** 20);
    assert.ok(container);
    const { HostConfig: host, Config: config } = container;
    assert.deepEqual(host.CapAdd, ["NET_ADMIN"]);
    assert.deepEqual(host.CapDrop, ["MKNOD"]);
    assert.equal(host.NanoCpus, 500_000_000);
    assert.equal(config.User, "1000");
    assert.equal(config.WorkingDir, "/tmp");
    assert.equal(config.Hostname, "till");
    assert.deepEqual(host.ExtraHosts, ["db:10.0.0.1"]);
    assert.equal(host.ShmSize, 32 * 2 ** 20);
    assert.deepEqual(host.Tmpfs, { "/scratch": "size=1m" });
    assert.equal(host.ReadonlyRootfs, true);
    assert.equal(host.Init, true);
    assert.equal(config.Labels.shop, "berlin");
    assert.deepEqual(host.Ulimits, [{ Name: "nofile", Soft: 1024, Hard: 2048 }]);
    assert.deepEqual(host.LogConfig, { Type: "json-file", Config: { "max-size": "1m" } });
    assert.deepEqual(config.Healthcheck?.Test, ["CMD-SHELL", "true"]);
  });

  it("a stop, start and restart of an app reach the containers", async () => {
    const web = rig.name("web");
    // the pull that a restart brings has tests of its own, with a registry
    await rig.api.createApp({ name: web, dockerImage: IMAGE, command: FOREVER, pullPolicy: PullPolicy.MISSING });
    const { engine, worker } = await rig.device([web]);
    const [first] = await engine.settled(web, 1);
    await rig.api.stopApp(web);
    await rig.api.appStatus(worker.deviceId, web, ({ appliedRevision }) => appliedRevision === 2n);
    assert.deepEqual(await engine.containers(web), []);
    await rig.api.startApp(web);
    const [second] = await engine.settled(web, 1);
    assert.notEqual(second?.Id, first?.Id);
    await rig.api.restartApp(web);
    const [third] = await engine.settled(web, 1, ({ Id }) => Id !== second?.Id);
    assert.equal(third?.Name, first?.Name);
  });

  it("a change of nothing but the revision leaves the containers alone", async () => {
    const web = rig.name("web");
    await rig.api.createApp({ name: web, dockerImage: IMAGE, command: FOREVER });
    const { engine, worker } = await rig.device([web]);
    const [before] = await engine.settled(web, 1);
    await rig.api.startApp(web);
    await rig.api.updateApp(web, { stopGraceSeconds: 2 });
    await rig.api.appStatus(worker.deviceId, web, ({ appliedRevision }) => appliedRevision === 3n);
    const [after] = await engine.settled(web, 1);
    assert.equal(after?.Id, before?.Id);
  });

  it("an app runs n containers per server, per core, per memory; scaled without touching those that stay", async () => {
    const web = rig.name("web");
    await rig.api.createApp({ name: web, dockerImage: IMAGE, command: FOREVER, containersPer: { per: { case: "server", value: 3 } } });
    const { engine } = await rig.device([web]);
    const three = await engine.settled(web, 3);
    const { NCPU: cores, MemTotal: memory } = await engine.docker.info();
    await rig.api.updateApp(web, { containersPer: { per: { case: "cpu", value: 1 } } });
    const perCore = await engine.settled(web, cores);
    assert.ok(
      perCore.slice(0, Math.min(3, cores)).every(({ Id }) => three.some((info) => info.Id === Id)),
      "those that stay are the same",
    );
    const megabytes = Math.floor(memory / 2 ** 20 / 4);
    await rig.api.updateApp(web, { containersPer: { per: { case: "memoryMb", value: megabytes } } });
    await engine.settled(web, Math.floor(memory / 2 ** 20 / megabytes));
  });

  it("100 apps in one device_group run", async () => {
    const names = Array.from({ length: 100 }, (_, i) => rig.name(`many${i}`));
    // a network costs an engine most of the time that a container takes: one in ten has the default ones
    for (const [i, name] of names.entries()) {
      await rig.api.createApp({ name, dockerImage: IMAGE, command: FOREVER, networks: i % 10 === 0 ? [] : ["none"] });
    }
    const { engine, worker } = await rig.device(names);
    for (const name of names) await rig.api.appStatus(worker.deviceId, name, ({ state }) => state === TargetState.APPLIED, 150_000);
    assert.equal((await engine.running()).length, 100);
  }).timeout(240_000);
});
