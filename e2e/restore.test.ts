import { strict as assert } from "node:assert";
import { cp, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { TargetState } from "../gen/nebula/v1/report_pb.ts";
import { FOREVER, IMAGE } from "./harness/engine.ts";
import { FleetRig } from "./harness/fleet-rig.ts";
import { Program } from "./harness/program.ts";

describe("a server restored from a backup", function () {
  this.timeout(120_000);
  const rig = FleetRig.describe();

  it("a restored server is followed by devices with newer configs, once it was given --after-restore, and not before", async () => {
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
    await engine.settled(web, 1, ({ Config }) => Config.Env.includes("VERSION=1"));

    // the server runs while it is backed up, and goes on: the device sees more than the backup holds
    await nebula("backup", "--to", join(folder, "backup"));
    await server.api.updateApp(web, { envVars: { VERSION: "2" } });
    await server.api.updateApp(web, { envVars: { VERSION: "3" } });
    await server.api.createApp({ name: late, dockerImage: IMAGE, command: FOREVER });
    await server.api.updateGroup(group, [web, late]);
    const [newest] = await engine.settled(web, 1, ({ Config }) => Config.Env.includes("VERSION=3"));
    await engine.settled(late, 1);

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

    await server.stop();
    assert.match(await nebula("migrate", "--after-restore"), /epoch 1 -> \d+/);
    await server.startAgain();
    await engine.settled(web, 1, ({ Config }) => Config.Env.includes("VERSION=other"), 60_000);
    await engine.settled(late, 0);
    const status = await server.api.appStatus(worker.deviceId, web, ({ state, revision }) => state === TargetState.APPLIED && revision === 2n);
    assert.equal(status.appliedRevision, 2n);
    await server.api.updateApp(web, { envVars: { VERSION: "newer" } });
    await engine.settled(web, 1, ({ Config }) => Config.Env.includes("VERSION=newer"));
  });
});
