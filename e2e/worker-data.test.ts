import { strict as assert } from "node:assert";
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type Docker from "dockerode";
import { eventually } from "../common/testing/eventually.ts";
import { throughout } from "../common/testing/throughout.ts";
import { FOREVER, IMAGE } from "./harness/engine.ts";
import { FleetRig } from "./harness/fleet-rig.ts";

/** A file system of its own in memory, so that it can be full, or read-only, for root too. */
function mountSmall(context: Mocha.Context): { folder: string; remountReadOnly: () => void; unmount: () => void } {
  const folder = mkdtempSync(join(tmpdir(), "nebula-e2e-small-"));
  const mounted = spawnSync("mount", ["-t", "tmpfs", "-o", "size=256k,mode=0700", "tmpfs", folder]);
  if (mounted.status !== 0) {
    rmSync(folder, { recursive: true });
    if (process.env.CI === "true") throw new Error(`a file system can't be mounted: ${mounted.stderr}`);
    context.skip();
  }
  return {
    folder,
    // A mount of its own over the first: the worker's lock holds a file of that one open for writing.
    remountReadOnly: () => {
      assert.equal(spawnSync("mount", ["--bind", folder, folder]).status, 0);
      assert.equal(spawnSync("mount", ["-o", "remount,ro,bind", folder]).status, 0);
    },
    unmount: () => {
      while (spawnSync("umount", ["-l", folder]).status === 0) {}
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

describe("a worker whose data folder", function () {
  this.timeout(120_000);
  const rig = FleetRig.describe();

  for (const [how, spoil] of [
    ["is full", ({ folder }: { folder: string }) => fill(folder)],
    ["is read-only", ({ remountReadOnly }: { remountReadOnly: () => void }) => remountReadOnly()],
  ] as const) {
    it(`a worker whose data folder ${how} continues, reports state_not_saved, and, started again, takes nothing backwards`, async function () {
      const small = mountSmall(this);
      rig.deferLast(async () => small.unmount());
      const web = rig.name("web");
      await rig.api.createApp({ name: web, dockerImage: IMAGE, command: FOREVER, envVars: { VERSION: "1" } });
      const { engine, worker } = await rig.device([web], { dataDir: small.folder });
      await engine.settled(web, 1);
      await rig.api.appStatus(worker.deviceId, web, ({ appliedRevision }) => appliedRevision === 1n);
      const isReported = async () =>
        (await rig.api.device(worker.deviceId))?.report?.problems.some(({ code }) => code === "state_not_saved") === true;
      let newest: Docker.ContainerInspectInfo | undefined;
      for (let version = 2, reported = false; !reported; version++) {
        spoil(small); // again: a save that was under way may have left room for the next one
        await rig.api.updateApp(web, { envVars: { VERSION: `${version}` } });
        [newest] = await engine.settled(web, 1, ({ Config }) => Config.Env.includes(`VERSION=${version}`));
        reported = await eventually(isReported, { timeoutMs: 10_000 }).catch(() => false);
      }
      await worker.kill();
      // without a manager it has only what it saved, revision 1, and what the labels of its containers say
      worker.startAgain({ server: { grpcUrl: "grpc://127.0.0.1:1", password: "none" } });
      await worker.program.printed(/going on with the last good config/);
      await throughout(4000, async () => {
        const [container] = await engine.running(web);
        assert.equal(container?.Id, newest?.Id, "the newer container was taken back");
      });
    });
  }
});

function fill(folder: string): void {
  try {
    writeFileSync(join(folder, "filling"), Buffer.alloc(1024 * 1024));
  } catch {
    // full is what was wanted
  }
}
