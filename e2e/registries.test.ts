import { strict as assert } from "node:assert";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import Docker from "dockerode";
import { eventually } from "../common/testing/eventually.ts";
import { DOCKER_SOCKET } from "../common/testing/require-docker.ts";
import { FailureCode, TargetState } from "../gen/nebula/v1/report_pb.ts";
import { Engine, FOREVER, IMAGE, newInstance } from "./harness/engine.ts";
import { FleetRig } from "./harness/fleet-rig.ts";
import { startInProcess } from "./harness/in-process-worker.ts";
import { JumpingClock } from "./harness/jumping-clock.ts";
import { Registry, SilentRegistry, StallingRegistry } from "./harness/registry.ts";

describe("registries", function () {
  this.timeout(120_000);
  const rig = FleetRig.describe();
  let registry: Registry;
  before(async function () {
    registry = await Registry.start(this);
  });
  after(async () => {
    await registry?.[Symbol.asyncDispose]();
  });

  const login = () => ({ REGISTRY_HOST: registry.host, REGISTRY_AUTH_USER: Registry.user, REGISTRY_AUTH_PASSWORD: Registry.password });

  it("a registry that needs a login is pulled from with it, and its refusal is reported without it", async () => {
    const image = await registry.push(IMAGE, "private/app:1");
    const web = rig.name("web");
    await rig.api.createApp({ name: web, dockerImage: image, command: FOREVER });
    const { worker: stranger } = await rig.device([web], { env: { DOCKER_CONFIG: "/no/such/folder" } });
    const refused = await rig.api.appStatus(stranger.deviceId, web, ({ state }) => state === TargetState.FAILED);
    assert.equal(refused.step, "pull");
    assert.equal(refused.failureCode, FailureCode.PULL_LOGIN);
    assert.match(refused.reason, /auth|login/i);
    const { engine, worker } = await rig.device([web], { env: login() });
    rig.deferLast(() => engine.docker.getImage(image).remove({ force: true }));
    await engine.settled(web, 1);
    assert.ok(!worker.program.output.includes(Registry.password), "the password is in no log");
  });

  it("the login of ~/.docker/config.json is taken, too", async () => {
    const image = await registry.push(IMAGE, "private/app:2");
    const folder = mkdtempSync(join(tmpdir(), "nebula-e2e-docker-config-"));
    rig.defer(() => rmSync(folder, { recursive: true }));
    const auth = Buffer.from(`${Registry.user}:${Registry.password}`).toString("base64");
    writeFileSync(join(folder, "config.json"), JSON.stringify({ auths: { [registry.host]: { auth } } }));
    const web = rig.name("web");
    await rig.api.createApp({ name: web, dockerImage: image, command: FOREVER });
    const { engine } = await rig.device([web], { env: { DOCKER_CONFIG: folder } });
    rig.deferLast(() => engine.docker.getImage(image).remove({ force: true }));
    await engine.settled(web, 1);
  });

  it("an image on the device runs while its pull is refused, and the app is applied only once a pull has succeeded", async () => {
    const folder = mkdtempSync(join(tmpdir(), "nebula-e2e-docker-config-"));
    rig.defer(() => rmSync(folder, { recursive: true }));
    const image = await registry.push(IMAGE, "private/stale:1");
    const web = rig.name("web");
    await rig.api.createApp({ name: web, dockerImage: image, command: FOREVER });
    const { engine, worker, group } = await rig.device([], { env: { DOCKER_CONFIG: folder } });
    rig.deferLast(() => engine.docker.getImage(image).remove({ force: true }));
    const colon = image.lastIndexOf(":");
    await engine.docker.getImage(IMAGE).tag({ repo: image.slice(0, colon), tag: image.slice(colon + 1) });
    await rig.api.updateGroup(group, [web]);
    const [stale] = await engine.settled(web, 1);
    assert.equal(stale?.Config.Labels["nebula.stale"], "1");
    const status = await rig.api.appStatus(worker.deviceId, web, ({ reason }) => reason.startsWith("image stale"));
    assert.equal(status.state, TargetState.WORKING);
    assert.match(status.reason, /^image stale: image .*private\/stale:1 can't be pulled: .*(auth|login)/i);
    const auth = Buffer.from(`${Registry.user}:${Registry.password}`).toString("base64");
    writeFileSync(join(folder, "config.json"), JSON.stringify({ auths: { [registry.host]: { auth } } }));
    await rig.api.appStatus(worker.deviceId, web, ({ state }) => state === TargetState.APPLIED, 60_000);
    const [after] = await engine.settled(web, 1);
    assert.equal(after?.Id, stale?.Id, "the same image restarts nothing");
  });

  it("a forced pull brings the image that a tag means now: by a restart, and by an update with redeploy in which nothing differs", async () => {
    const web = rig.name("web");
    const builds = [1, 2, 3].map((version) => `nebula-e2e-moving-${version}:1`);
    const { engine, group } = await rig.device([], { env: login() });
    for (const [i, tag] of builds.entries()) await engine.build(tag, `ENV VERSION=${i + 1}`);
    const [first = "", second = "", third = ""] = builds;
    const image = await registry.push(first, "moving/app:latest");
    rig.deferLast(async () => {
      for (const tag of builds) await engine.docker.getImage(tag).remove({ force: true });
      // what the tag meant before is there as well, under no tag
      const pulled = await engine.docker.listImages({ filters: { reference: [`${registry.host}/moving/app`] } });
      for (const { Id } of pulled) await engine.docker.getImage(Id).remove({ force: true });
    });
    await rig.api.createApp({ name: web, dockerImage: image, command: FOREVER });
    await rig.api.updateGroup(group, [web]);
    await engine.settled(web, 1, ({ Config }) => Config.Env.includes("VERSION=1"));
    await registry.push(second, "moving/app:latest");
    await rig.api.restartApp(web);
    await engine.settled(web, 1, ({ Config }) => Config.Env.includes("VERSION=2"));
    await registry.push(third, "moving/app:latest");
    const { revision, restartCount } = await rig.api.updateApp(web, { dockerImage: image }, { redeploy: true });
    assert.equal(revision, 3n);
    assert.equal(restartCount, 2n);
    await engine.settled(web, 1, ({ Config }) => Config.Env.includes("VERSION=3"));
  });

  it("a pull whose layer stops arriving is given up after 2 minutes, and tried again", async () => {
    const stalling = rig.use(await StallingRegistry.start());
    const [web, group, instance] = [rig.name("web"), rig.name("group"), newInstance()];
    await rig.api.createApp({ name: web, dockerImage: `${stalling.host}/never/arrives:1` });
    await rig.api.createGroup(group, [web], []);
    const clock = new JumpingClock();
    const worker = rig.use(await startInProcess({ server: rig.server, clock, deviceGroup: group, deviceId: `device-${instance}`, instance }));
    const status = () => worker.report()?.apps.find(({ name }) => name === web);
    await eventually(() => stalling.layersAsked === 1, { timeoutMs: 20_000 });
    assert.equal(status()?.state, TargetState.WORKING);
    clock.jump(120_000);
    const failed = await eventually(() => (status()?.state === TargetState.FAILED ? status() : false), { timeoutMs: 20_000 });
    assert.equal(failed?.failureCode, FailureCode.PULL_STALLED);
    assert.match(failed?.reason ?? "", /never\/arrives:1 showed no progress for 120 s/);
    const asked = stalling.manifestsAsked;
    clock.jump(15_000);
    await eventually(() => stalling.manifestsAsked > asked, { timeoutMs: 20_000 });
    assert.equal(status()?.state, TargetState.FAILED, "a target that is tried again keeps its reason");
  });

  it("the image of an app that was deleted is removed from the device a day later, and not before", async () => {
    const docker = new Docker({ socketPath: DOCKER_SOCKET });
    const local = `nebula-e2e-gone:${newInstance()}`;
    const source = await docker.createContainer({ Image: IMAGE, Cmd: FOREVER });
    const [repo, tag] = local.split(":");
    await source.commit({ repo, tag, changes: `LABEL of=${tag}` });
    await source.remove();
    const image = await registry.push(local, "private/gone:1");
    await docker.getImage(local).remove();
    const present = () =>
      docker
        .getImage(image)
        .inspect()
        .then(
          () => true,
          () => false,
        );
    assert.equal(await present(), false);

    Object.assign(process.env, login());
    rig.defer(() => {
      for (const variable of Object.keys(login())) delete process.env[variable];
    });
    const [web, group, instance] = [rig.name("web"), rig.name("group"), newInstance()];
    await rig.api.createApp({ name: web, dockerImage: image, command: FOREVER });
    await rig.api.createGroup(group, [web]);
    rig.deferLast(() =>
      docker
        .getImage(image)
        .remove({ force: true })
        .catch(() => {}),
    );
    const clock = new JumpingClock();
    const engine = new Engine(instance);
    rig.deferLast(() => engine.clean());
    const worker = rig.use(await startInProcess({ server: rig.server, clock, deviceGroup: group, deviceId: `device-${instance}`, instance }));
    await engine.settled(web, 1);
    await rig.api.deleteApp(web);
    await engine.settled(web, 0);
    await eventually(() => worker.report()?.apps.every(({ containers }) => containers.length === 0), { timeoutMs: 20_000 });
    let hours = 0;
    const isRemoved = async () => {
      if (!(await present())) return true;
      clock.jump(3_600_000);
      hours++;
      return false;
    };
    await eventually(isRemoved, { timeoutMs: 60_000, everyMs: 300 });
    assert.ok(hours >= 24, `removed after ${hours} h`);
  });

  it("a pull that hangs delays neither another app's change nor the repair of drift", async () => {
    const silent = rig.use(await SilentRegistry.start());
    const [stuck, web] = [rig.name("stuck"), rig.name("web")];
    await rig.api.createApp({ name: stuck, dockerImage: `${silent.host}/never/answers:1` });
    await rig.api.createApp({ name: web, dockerImage: IMAGE, command: FOREVER });
    const { engine, worker } = await rig.device([stuck, web]);
    const [before] = await engine.settled(web, 1);
    await eventually(() => silent.waiting > 0, { timeoutMs: 20_000 });
    await rig.api.updateApp(web, { envVars: { VERSION: "2" } });
    const [after] = await engine.settled(web, 1, ({ Config }) => Config.Env.includes("VERSION=2"));
    assert.notEqual(after?.Id, before?.Id);
    await engine.docker.getContainer(after?.Id ?? "").remove({ force: true });
    await engine.settled(web, 1, ({ Id }) => Id !== after?.Id);
    await rig.api.appStatus(worker.deviceId, stuck, ({ state, step }) => state === TargetState.WORKING && step === "pull");
    assert.ok(silent.waiting > 0, "the pull still hangs");
  });
});
