import { strict as assert } from "node:assert";
import { rm } from "node:fs/promises";
import { setTimeout as delay } from "node:timers/promises";
import { eventually } from "../common/testing/eventually.ts";
import { freePort } from "../common/testing/free-port.ts";
import { PullPolicy } from "../gen/nebula/v1/container_pb.ts";
import { TargetState } from "../gen/nebula/v1/report_pb.ts";
import { type Engine, FOREVER } from "./harness/engine.ts";
import { FleetRig } from "./harness/fleet-rig.ts";
import { OwnEngine } from "./harness/own-engine.ts";

const SHOP = "nebula-e2e-shop:1";

/** A container as the original's worker makes one. */
async function runAsOriginal(
  { docker }: Engine,
  app: string,
  { index = 1, env = [], hostPort }: { index?: number; env?: string[]; hostPort?: number } = {},
): Promise<string> {
  const container = await docker.createContainer({
    name: `${app}-${index}`,
    Image: SHOP,
    Env: env,
    Labels: { orchestrator: "nebula", container_type: "app", app_name: app },
    ...(hostPort === undefined ? {} : { ExposedPorts: { "80/tcp": {} } }),
    HostConfig: {
      NetworkMode: "nebula",
      RestartPolicy: { Name: "unless-stopped" },
      ...(hostPort === undefined ? {} : { PortBindings: { "80/tcp": [{ HostPort: String(hostPort) }] } }),
    },
  });
  await docker.getNetwork("bridge").connect({ Container: container.id });
  await container.start();
  return container.id;
}

describe("what the original runs on a device", function () {
  this.timeout(120_000);
  const rig = FleetRig.describe();
  const own = OwnEngine.describe();

  it("containers of the original that fit are taken over without being touched, by instance main alone, and only where it may", async () => {
    const [fits, changed, gone] = [rig.name("fits"), rig.name("changed"), rig.name("gone")];
    const port = await freePort(2);
    const { worker, engine, group } = await rig.device([], { socket: own().socket, instance: "main" });
    const { docker } = engine;
    await rig.api.reported(worker.deviceId);
    await eventually(async () => (await docker.listNetworks({ filters: { name: ["nebula"] } })).length === 1);
    await worker.stop(); // as the docs say: the old worker and the new one never run at a time
    await engine.build(SHOP, `ENV FROM_IMAGE=1\nCMD ${JSON.stringify(FOREVER)}`);
    const kept = [
      await runAsOriginal(engine, fits, { index: 1, env: ["REGION=eu"], hostPort: port }),
      await runAsOriginal(engine, fits, { index: 2, env: ["REGION=eu"], hostPort: port + 1 }),
    ];
    const replaced = await runAsOriginal(engine, changed, { env: ["REGION=us"] });
    const removed = await runAsOriginal(engine, gone);
    const foreign = await docker.createContainer({ name: "foreign", Image: SHOP });
    await foreign.start();
    const startedAt = async (id: string) => (await docker.getContainer(id).inspect()).State.StartedAt;
    const starts = await Promise.all(kept.map(startedAt));
    const isThere = async (id: string) => (await docker.listContainers({ all: true, filters: { id: [id] } })).length > 0;
    const assertUntouched = async () => assert.deepEqual(await Promise.all(kept.map(startedAt)), starts);

    await rig.api.createApp({
      name: fits,
      dockerImage: SHOP,
      pullPolicy: PullPolicy.MISSING,
      envVars: { REGION: "eu" },
      startingPorts: [{ hostPort: port, containerPort: 80 }],
      containersPer: { per: { case: "server", value: 2 } },
    });
    await rig.api.createApp({ name: changed, dockerImage: SHOP, pullPolicy: PullPolicy.MISSING, envVars: { REGION: "eu" } });
    await rig.api.updateGroup(group, [fits, changed]);

    // where it may not: nothing of the original's is touched, and the names that it holds are reported
    worker.startAgain({ env: { NEBULA_ADOPT: "false" } });
    const refused = await rig.api.appStatus(worker.deviceId, fits, ({ state }) => state === TargetState.FAILED);
    assert.match(refused.reason, new RegExp(`${fits}-1|${port}`));
    await delay(1000); // what must not happen can't be waited for
    for (const id of [...kept, replaced, removed]) assert.equal(await isThere(id), true);
    await assertUntouched();
    await worker.stop();

    // another instance never may
    const { worker: other, engine: others } = await rig.device([changed], { socket: own().socket, env: { NEBULA_ADOPT: "true" } });
    await others.settled(changed, 1);
    for (const id of [...kept, replaced, removed]) assert.equal(await isThere(id), true);
    await other.stop();
    await others.clean();

    worker.startAgain({ env: { NEBULA_ADOPT: "true" } });
    await rig.api.appStatus(worker.deviceId, fits, ({ state, containers }) => state === TargetState.APPLIED && containers.length === 2);
    await eventually(async () => !(await isThere(removed)), { timeoutMs: 20_000 });
    await engine.settled(changed, 1, ({ Config }) => Config.Env.includes("REGION=eu"));
    await eventually(async () => !(await isThere(replaced)));
    await assertUntouched();

    // what was taken over stays so, also for a worker that lost its data
    await worker.kill();
    await rm(worker.dataDir, { recursive: true });
    worker.startAgain();
    await rig.api.appStatus(worker.deviceId, fits, ({ state, containers }) => state === TargetState.APPLIED && containers.length === 2);
    await delay(1500); // what must not happen can't be waited for
    await assertUntouched();

    await rig.api.updateApp(fits, { envVars: { REGION: "asia" } });
    await engine.settled(fits, 2, ({ Config }) => Config.Env.includes("REGION=asia"));
    for (const id of kept) await eventually(async () => !(await isThere(id)));
    assert.equal((await foreign.inspect()).State.Running, true);
  });
});
