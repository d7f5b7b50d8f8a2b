import { strict as assert } from "node:assert";
import { setTimeout as delay } from "node:timers/promises";
import { ContainerHealth } from "../gen/nebula/v1/report_pb.ts";
import type { Engine } from "./harness/engine.ts";
import { FOREVER, IMAGE } from "./harness/engine.ts";
import { FleetRig } from "./harness/fleet-rig.ts";

/** More than ten: names that are sorted as text would be out of order. */
const MANY = 12;
/** Healthy from its first check on, or never. */
const check = (passes: boolean) => ({ test: ["CMD-SHELL", passes ? "true" : "false"], intervalMs: 1000, timeoutMs: 5000, retries: 1 });

/** Counts, as fast as the engine answers, the containers that run and are healthy. */
function countHealthy(engine: Engine, app: string): { lowest: () => number; stop: () => Promise<void> } {
  let lowest = Number.POSITIVE_INFINITY;
  let going = true;
  const counting = (async () => {
    while (going) {
      const listed = await engine.docker.listContainers({
        filters: { label: [`nebula.instance=${engine.instance}`, `app_name=${app}`], status: ["running"], health: ["healthy"] },
      });
      lowest = Math.min(lowest, listed.length);
    }
  })();
  return {
    lowest: () => lowest,
    async stop() {
      going = false;
      await counting;
    },
  };
}

function namesOf(containers: readonly { Name: string }[]): string[] {
  return containers.map(({ Name }) => Name).sort();
}

function namesFor({ instance }: Engine, app: string, count: number): string[] {
  return Array.from({ length: count }, (_, i) => `/${instance}-${app}-${i + 1}`).sort();
}

describe("a rolling restart", function () {
  this.timeout(180_000);
  const rig = FleetRig.describe();

  const rolling = async (count: number) => {
    const web = rig.name("web");
    await rig.api.createApp({
      name: web,
      dockerImage: IMAGE,
      command: FOREVER,
      rollingRestart: true,
      containersPer: { per: { case: "server", value: count } },
      healthcheck: check(true),
      envVars: { VERSION: "1" },
    });
    const device = await rig.device([web]);
    await device.engine.settled(web, count, ({ State }) => State.Health?.Status === "healthy", 60_000);
    return { web, ...device };
  };

  it(`a rolling restart of ${MANY} containers never drops below ${MANY - 1} that run and are healthy, and continues to more where the change asks for them`, async () => {
    const { web, engine } = await rolling(MANY);
    const counter = countHealthy(engine, web);
    try {
      await rig.api.updateApp(web, { envVars: { VERSION: "2" }, containersPer: { per: { case: "server", value: MANY + 1 } } });
      const all = await engine.settled(
        web,
        MANY + 1,
        ({ Config, State }) => Config.Env.includes("VERSION=2") && State.Health?.Status === "healthy",
        120_000,
      );
      assert.deepEqual(namesOf(all), namesFor(engine, web, MANY + 1));
    } finally {
      await counter.stop();
    }
    assert.equal(counter.lowest(), MANY - 1);
  });

  it("a rolling restart stops when the new containers are unhealthy, and continues with the next spec", async () => {
    const { web, engine, worker } = await rolling(4);
    await rig.api.updateApp(web, { envVars: { VERSION: "2" }, healthcheck: check(false) });
    await rig.api.appStatus(
      worker.deviceId,
      web,
      ({ containers }) => containers.some(({ revision, health }) => revision === 2n && health === ContainerHealth.UNHEALTHY),
      60_000,
    );
    const counter = countHealthy(engine, web);
    await delay(4000); // longer than a step of the roll takes: what must not happen can't be waited for
    assert.equal((await engine.containers(web)).filter(({ Config }) => Config.Env.includes("VERSION=2")).length, 1);
    await rig.api.updateApp(web, { envVars: { VERSION: "3" }, healthcheck: check(true) });
    await engine.settled(web, 4, ({ Config, State }) => Config.Env.includes("VERSION=3") && State.Health?.Status === "healthy", 120_000);
    await counter.stop();
    assert.equal(counter.lowest(), 3, "one sick container of the spec before, and none besides");
  });

  it("a rolling restart that is cut off by SIGKILL continues when the worker is started again", async () => {
    const { web, engine, worker } = await rolling(6);
    await rig.api.updateApp(web, { envVars: { VERSION: "2" } });
    for (let replaced = 0; replaced < 3; ) replaced = (await engine.running(web)).filter(({ Config }) => Config.Env.includes("VERSION=2")).length;
    await worker.kill();
    assert.ok(
      (await engine.running(web)).some(({ Config }) => Config.Env.includes("VERSION=1")),
      "the kill came in the middle of the roll",
    );
    worker.startAgain();
    const after = await engine.settled(web, 6, ({ Config }) => Config.Env.includes("VERSION=2"), 120_000);
    assert.deepEqual(namesOf(after), namesFor(engine, web, 6));
  });
});
