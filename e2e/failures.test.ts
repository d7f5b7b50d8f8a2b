import { strict as assert } from "node:assert";
import { freePort } from "../common/testing/free-port.ts";
import { PullPolicy } from "../gen/nebula/v1/container_pb.ts";
import { FailureCode, StepKind, TargetState } from "../gen/nebula/v1/report_pb.ts";
import { FOREVER, IMAGE } from "./harness/engine.ts";
import { FleetRig } from "./harness/fleet-rig.ts";

describe("an app that fails says why, and keeps no other from converging", function () {
  this.timeout(90_000);
  const rig = FleetRig.describe();

  type AppInit = Parameters<typeof rig.api.createApp>[0];

  /** A device with an app that can't be, between two that can: answers the reason that its report gives. */
  const reasonOf = async (broken: Omit<AppInit, "name">, prepare?: (device: Awaited<ReturnType<typeof rig.device>>) => Promise<void>) => {
    const [first, bad, last] = [rig.name("first"), rig.name("bad"), rig.name("last")];
    for (const name of [first, last]) await rig.api.createApp({ name, dockerImage: IMAGE, command: FOREVER });
    await rig.api.createApp({ ...broken, name: bad });
    const device = await rig.device([]);
    await prepare?.(device);
    await rig.api.updateGroup(device.group, [first, bad, last]);
    await device.engine.settled(first, 1);
    await device.engine.settled(last, 1);
    const status = await rig.api.appStatus(device.worker.deviceId, bad, ({ state }) => state === TargetState.FAILED);
    return { ...device, bad, status };
  };

  it("an image that cannot be pulled fails its app with the reason", async () => {
    const { status } = await reasonOf({ dockerImage: "127.0.0.1:1/no/such:image", command: FOREVER });
    assert.equal(status.step, "pull");
    assert.deepEqual([status.failureCode, status.stepKind], [FailureCode.PULL_UNREACHABLE, StepKind.PULL]);
    assert.ok((status.retryInMs ?? 0n) > 0n);
    assert.match(status.reason, /127\.0\.0\.1:1\/no\/such:image/);
  });

  it("a port that a foreign container has fails its app until it is free", async () => {
    const port = await freePort();
    const holder = { remove: async () => {} };
    const { status, bad, engine } = await reasonOf(
      { dockerImage: IMAGE, command: FOREVER, startingPorts: [{ hostPort: port, containerPort: 80 }] },
      async ({ engine }) => {
        const foreign = await engine.docker.createContainer({
          Image: IMAGE,
          name: `holder-${engine.instance}`,
          Cmd: FOREVER,
          ExposedPorts: { "80/tcp": {} },
          HostConfig: { PortBindings: { "80/tcp": [{ HostPort: String(port) }] } },
        });
        await foreign.start();
        holder.remove = async () => {
          await foreign.remove({ force: true });
        };
        rig.defer(() => holder.remove().catch(() => {}));
      },
    );
    assert.match(status.reason, new RegExp(String(port)));
    assert.match(status.reason, /holder-/);
    assert.equal(status.failureCode, FailureCode.PORT_TAKEN);
    await holder.remove();
    await engine.settled(bad, 1);
  });

  it("a port that a process of the host has fails its app with the reason", async () => {
    const { createServer } = await import("node:net");
    const { once } = await import("node:events");
    const listener = createServer().listen(0, "0.0.0.0");
    await once(listener, "listening");
    rig.defer(() => void listener.close());
    const address = listener.address();
    const port = address !== null && typeof address === "object" ? address.port : 0;
    const { status } = await reasonOf({ dockerImage: IMAGE, command: FOREVER, startingPorts: [{ hostPort: port, containerPort: 80 }] });
    assert.equal(status.step, "start");
    assert.equal(status.failureCode, FailureCode.PORT_TAKEN);
    assert.match(status.reason, new RegExp(String(port)));
  });

  it("a volume path that is refused fails its app with the reason", async () => {
    const { status } = await reasonOf({ dockerImage: IMAGE, command: FOREVER, volumes: ["/proc/no-such-folder:/data"] });
    assert.match(status.reason, /\/proc\/no-such-folder/);
    assert.equal(status.failureCode, FailureCode.MOUNT_REFUSED);
  });

  it("a device that does not exist fails its app with the reason", async () => {
    const { status } = await reasonOf({ dockerImage: IMAGE, command: FOREVER, devices: ["/dev/no-such-device"] });
    assert.match(status.reason, /no-such-device/);
    assert.equal(status.failureCode, FailureCode.DEVICE_MISSING);
  });

  it("a network that does not exist fails its app with the reason", async () => {
    const { status } = await reasonOf({ dockerImage: IMAGE, command: FOREVER, networks: ["no-such-network"] });
    assert.match(status.reason, /no-such-network/);
    assert.equal(status.failureCode, FailureCode.NETWORK_MISSING);
  });

  it("a command that does not exist fails its app with the reason", async () => {
    const { status } = await reasonOf({ dockerImage: IMAGE, command: ["/no/such/command"] });
    assert.match(status.reason, /\/no\/such\/command/);
    assert.equal(status.failureCode, FailureCode.COMMAND_MISSING);
  });

  it("a command that exits at once is reported with its exit code", async () => {
    const bad = rig.name("exits");
    await rig.api.createApp({ name: bad, dockerImage: IMAGE, command: ["sh", "-c", "exit 3"] });
    const good = rig.name("good");
    await rig.api.createApp({ name: good, dockerImage: IMAGE, command: FOREVER });
    const { engine, worker } = await rig.device([bad, good]);
    await engine.settled(good, 1);
    const status = await rig.api.appStatus(
      worker.deviceId,
      bad,
      ({ state, containers }) => state !== TargetState.APPLIED && containers.some(({ restarts }) => restarts > 0),
    );
    assert.match(status.reason, /3/);
    assert.equal(status.failureCode, FailureCode.EXITS);
  });

  it("a change that fails leaves the working container running", async () => {
    const web = rig.name("web");
    await rig.api.createApp({ name: web, dockerImage: IMAGE, command: FOREVER });
    const { engine, worker } = await rig.device([web]);
    const [before] = await engine.settled(web, 1);
    await rig.api.updateApp(web, { dockerImage: "127.0.0.1:1/no/such:image" });
    await rig.api.appStatus(worker.deviceId, web, ({ state, step }) => state === TargetState.FAILED && step === "pull");
    const [after] = await engine.settled(web, 1);
    assert.equal(after?.Id, before?.Id);
    await rig.api.updateApp(web, { dockerImage: IMAGE, devices: ["/dev/no-such-device"] });
    await rig.api.appStatus(worker.deviceId, web, ({ state, revision }) => state === TargetState.FAILED && revision === 3n);
    const still = await engine.settled(web, 1);
    assert.equal(still[0]?.Id, before?.Id);
  });

  it("a restart whose pull fails leaves the working container running, for the pull is the point", async () => {
    const web = rig.name("web");
    await rig.api.createApp({ name: web, dockerImage: IMAGE, command: FOREVER });
    const { engine, worker } = await rig.device([web]);
    const tag = `127.0.0.1:1/${engine.instance}:1`; // preloaded, and no registry has it
    await engine.build(tag, "ENV PRELOADED=1");
    rig.deferLast(() => engine.docker.getImage(tag).remove({ force: true }));
    await rig.api.updateApp(web, { dockerImage: tag, pullPolicy: PullPolicy.UNSPECIFIED });
    const [before] = await engine.settled(web, 1, ({ Config }) => Config.Env.includes("PRELOADED=1"));
    const stale = await rig.api.appStatus(worker.deviceId, web, ({ reason, revision }) => reason.startsWith("image stale") && revision === 2n);
    assert.equal(stale.state, TargetState.WORKING, "the local image is used, and that is not what was asked for");
    assert.equal(stale.failureCode, FailureCode.IMAGE_STALE);
    await rig.api.restartApp(web);
    const refused = await rig.api.appStatus(worker.deviceId, web, ({ state, revision }) => state === TargetState.FAILED && revision === 3n);
    assert.equal(refused.step, "pull");
    const [after] = await engine.settled(web, 1);
    assert.equal(after?.Id, before?.Id);
    assert.equal(after?.State.StartedAt, before?.State.StartedAt);
  });
});
