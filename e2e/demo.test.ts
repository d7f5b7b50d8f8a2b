import { strict as assert } from "node:assert";
import { spawnSync } from "node:child_process";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import Docker from "dockerode";
import { DOCKER_SOCKET, requireDocker } from "../common/testing/require-docker.ts";
import { Program } from "./harness/program.ts";

const DEVICES = 100;

describe("the demo", function () {
  this.timeout(60_000); // what it promises
  let folder: string;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), "nebula-e2e-demo-"));
  });
  afterEach(() => rm(folder, { recursive: true, force: true }));

  /** How many devices followed each of the changes. */
  const followed = (output: string) =>
    [...output.matchAll(/(\d+) of (\d+) devices run it/g)].map(([, applied, expected]) => [Number(applied), Number(expected)]);

  it("the demo has the fleet and this machine's engine follow two changes, prints how many did and how fast, and leaves nothing behind", async function () {
    await requireDocker(this);
    await using demo = new Program(["demo"], { env: { TMPDIR: folder } });
    assert.equal(await demo.exit(), 0, demo.output);
    const all = [DEVICES + 1, DEVICES + 1];
    assert.deepEqual(followed(demo.output), [all, all], demo.output);
    assert.match(demo.output, /this machine's containers ran after [\d.]+ m?s/);
    const instance = /nebula\.instance=(demo-\w+)/.exec(demo.output)?.[1];
    assert.ok(instance !== undefined, demo.output);
    const left = await new Docker({ socketPath: DOCKER_SOCKET }).listContainers({ all: true, filters: { label: [`nebula.instance=${instance}`] } });
    assert.deepEqual(left, []);
    assert.deepEqual(await readdir(folder), []);
  });

  it("the demo without Docker says so, and shows the simulated fleet alone", async function () {
    // in a mount namespace of its own, where an empty folder hides the engine's socket
    const hidden = `mount -t tmpfs none ${dirname(DOCKER_SOCKET)} && exec "$@"`;
    if (spawnSync("unshare", ["-m", "sh", "-c", hidden, "sh", "true"]).status !== 0) {
      if (process.env.CI === "true") throw new Error("unshare can't hide the engine: the tests run as root");
      console.log("    (skipped: the engine can't be hidden, not root)");
      this.skip();
    }
    await using demo = new Program(["demo"], { wrapper: ["unshare", "-m", "sh", "-c", hidden, "sh"], env: { TMPDIR: folder } });
    assert.equal(await demo.exit(), 0, demo.output);
    assert.match(demo.output, /no container is really started, for .*Docker Engine at .* cannot be reached/);
    const all = [DEVICES, DEVICES];
    assert.deepEqual(followed(demo.output), [all, all], demo.output);
    assert.deepEqual(await readdir(folder), []);
  });
});
