import { strict as assert } from "node:assert";
import { cp, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { AccessService } from "../gen/nebula/v1/access_pb.ts";
import { TargetState } from "../gen/nebula/v1/report_pb.ts";
import { FOREVER, IMAGE } from "./harness/engine.ts";
import { FleetRig } from "./harness/fleet-rig.ts";
import { Program } from "./harness/program.ts";
import { SimulatedWorker } from "./harness/simulated-worker.ts";

describe("a server restored from a backup", function () {
  this.timeout(120_000);
  const rig = FleetRig.describe();

  it("a restored server is followed by devices with newer configs, also one whose token was rotated since, once it was given --after-restore, and not before", async () => {
    const folder = await mkdtemp(join(tmpdir(), "nebula-e2e-backup-"));
    rig.defer(() => rm(folder, { recursive: true, force: true }));
    const { server } = rig;
    const nebula = async (...args: string[]) => {
      await using program = new Program(args, { env: { NEBULA_DATA: server.dataDir } });
      assert.equal(await program.exit(), 0, program.output);
      return program.output;
    };
    const [web, late] = [rig.name("web"), rig.name("late")];
    await server.api.createApp({ name: web, dockerImage: IMAGE, command: FOREVER, envVars: { VERSION: "1" } });
    const { engine, worker, group } = await rig.device([web]);
    const asAdmin = { headers: server.api.headers, timeoutMs: 20_000 };
    const { token } = await server.api.channel.unary(AccessService.method.createEnrolmentToken, { deviceGroup: group, uses: 1 }, asAdmin);
    const rotatedId = rig.name("rotated");
    const rotated = rig.use(new SimulatedWorker({ server: server.grpcUrl, deviceId: rotatedId, enrollToken: token }));
    await server.api.appStatus(rotatedId, web, ({ appliedRevision }) => appliedRevision === 1n);
    await engine.settled(web, 1, ({ Config }) => Config.Env.includes("VERSION=1"));

    // the server runs while it is backed up, and goes on: the device sees more than the backup holds
    await nebula("backup", "--to", join(folder, "backup"));
    await rotated.rotateToken();
    await server.api.updateApp(web, { envVars: { VERSION: "2" } });
    await server.api.updateApp(web, { envVars: { VERSION: "3" } });
    await server.api.createApp({ name: late, dockerImage: IMAGE, command: FOREVER });
    await server.api.updateGroup(group, [web, late]);
    const [newest] = await engine.settled(web, 1, ({ Config }) => Config.Env.includes("VERSION=3"));
    await engine.settled(late, 1);
    await server.api.appStatus(rotatedId, web, ({ appliedRevision }) => appliedRevision === 3n);

    await server.stop();
    await rm(server.dataDir, { recursive: true });
    await cp(join(folder, "backup"), server.dataDir, { recursive: true });
    await server.startAgain();
    // the restored server gives revision 2 a second time, to something else: a device that took it could not be told from one that has the first
    await server.api.updateApp(web, { envVars: { VERSION: "other" } });
    await worker.program.printed(/connected to a manager.*connected to a manager/s, 30_000);
    await delay(2000); // long enough for a few rounds: what must not happen can't be waited for
    assert.equal((await engine.settled(web, 1))[0]?.Id, newest?.Id, "the device went back to a revision below the one it runs");
    await engine.settled(late, 1);
    await rotated.program.printed(/the server knows the token from before the last rotation alone/, 60_000);
    await server.api.appStatus(rotatedId, web, ({ appliedRevision }) => appliedRevision === 3n, 60_000); // the backup holds its report of revision 1

    await server.stop();
    assert.match(await nebula("migrate", "--after-restore"), /epoch 1 -> \d+/);
    await server.startAgain();
    await engine.settled(web, 1, ({ Config }) => Config.Env.includes("VERSION=other"), 60_000);
    await engine.settled(late, 0);
    const status = await server.api.appStatus(worker.deviceId, web, ({ state, revision }) => state === TargetState.APPLIED && revision === 2n);
    assert.equal(status.appliedRevision, 2n);
    await server.api.appStatus(rotatedId, web, ({ appliedRevision }) => appliedRevision === 2n, 60_000);
    for (const deviceId of [worker.deviceId, rotatedId]) await server.api.reportedProblem(deviceId, "cluster_changed");
    assert.doesNotMatch(rotated.output, /enrols again/);
    await server.api.updateApp(web, { envVars: { VERSION: "newer" } });
    await engine.settled(web, 1, ({ Config }) => Config.Env.includes("VERSION=newer"));
  });
});
