import { strict as assert } from "node:assert";
import { eventually } from "../common/testing/eventually.ts";
import { throughout } from "../common/testing/throughout.ts";
import { FOREVER, IMAGE, newInstance } from "./harness/engine.ts";
import { FleetRig } from "./harness/fleet-rig.ts";
import { Program } from "./harness/program.ts";
import { Server } from "./harness/server.ts";
import { Worker } from "./harness/worker.ts";

describe("several workers on one engine", function () {
  this.timeout(120_000);
  const rig = FleetRig.describe();

  it("workers of two servers leave each other's containers alone, running or not, until one cluster is taken over", async () => {
    const other = rig.use(await Server.start());
    const instance = newInstance();
    const [mine, theirs] = [rig.name("mine"), rig.name("theirs")];
    await rig.api.createApp({ name: mine, dockerImage: IMAGE, command: FOREVER });
    await other.api.createApp({ name: theirs, dockerImage: IMAGE, command: FOREVER });
    await other.api.createGroup("group", [theirs]);
    const first = rig.use(await Worker.start({ server: other, deviceGroup: "group", deviceId: "first", instance }));
    const [kept] = await first.engine.settled(theirs, 1);
    await first.stop();

    const { worker, engine } = await rig.device([mine], { instance });
    const [own] = await engine.settled(mine, 1);
    const problem = await eventually(
      async () => (await rig.api.device(worker.deviceId))?.report?.problems.find(({ code }) => code === "foreign_cluster") ?? false,
      { timeoutMs: 20_000 },
    );
    const [, clusterId = ""] = /NEBULA_TAKE_OVER=([0-9a-f]{32})$/.exec(problem.message) ?? [];
    assert.ok(problem.message.includes(`${theirs}-1`) || problem.message.includes(kept?.Name.slice(1) ?? "?"), problem.message);
    first.startAgain();
    await first.program.printed(/a config came|going on with the last good config/);
    await throughout(3000, async () => {
      const [a] = await engine.containers(theirs);
      const [b] = await engine.containers(mine);
      assert.deepEqual([a?.Id, a?.State.StartedAt, b?.Id], [kept?.Id, kept?.State.StartedAt, own?.Id]);
    });
    await first.stop();

    await worker.stop();
    worker.startAgain({ env: { NEBULA_TAKE_OVER: clusterId } });
    await eventually(async () => (await engine.containers(theirs)).length === 0, { timeoutMs: 30_000 });
    await engine.settled(mine, 1, ({ Id }) => Id === own?.Id);
  });

  it("a worker refuses a second process the data folder that it uses, by name, until it was killed", async () => {
    const { worker } = await rig.device([]);
    await rig.api.reported(worker.deviceId);
    const env = { NEBULA_SERVER: rig.server.grpcUrl, NEBULA_DEVICE_GROUP: "any", NEBULA_WORKER_DATA: worker.dataDir, NEBULA_RUNTIME: "simulated:" };
    const second = rig.use(new Program(["worker"], { env }));
    assert.notEqual(await second.exit(), 0);
    assert.ok(second.output.includes(`the data folder ${worker.dataDir} is in use by another Nebula process`), second.output);
    assert.ok(!/\n\s+at /.test(second.output), `a stack in ${second.output}`);
    assert.equal(worker.program.ended, false);
    await worker.kill();
    worker.startAgain();
    await worker.program.printed(/connected to a manager/);
  });
});
