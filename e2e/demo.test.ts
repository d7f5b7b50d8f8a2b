import { strict as assert } from "node:assert";
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import Docker from "dockerode";
import { commandsBelow } from "../common/testing/doc-commands.ts";
import { DOCKER_SOCKET, requireDocker } from "../common/testing/require-docker.ts";
import { Program } from "./harness/program.ts";

const DEVICES = 100;

describe("the demo", function () {
  this.timeout(240_000);
  let folder: string;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), "nebula-e2e-demo-"));
  });
  afterEach(() => rm(folder, { recursive: true, force: true }));

  /** How many devices followed each of the changes. */
  const followed = (output: string) =>
    [...output.matchAll(/(\d+) of (\d+) devices run it/g)].map(([, applied, expected]) => [Number(applied), Number(expected)]);
  /** Of all devices one has no room for the second image. */
  const expected = (devices: number) => [
    [devices, devices],
    [devices - 1, devices],
    [devices, devices],
  ];

  it("the demo plans, applies, explains a failure on one device and rolls back, as the README shows, and leaves nothing behind", async function () {
    await requireDocker(this);
    await using demo = new Program(["demo"], { env: { TMPDIR: folder } });
    assert.equal(await demo.exit(), 0, demo.output);
    assert.deepEqual(followed(demo.output), expected(DEVICES + 1), demo.output);
    assert.match(demo.output, /this machine's containers ran after [\d.]+ m?s/);
    assert.doesNotMatch(demo.output, /still open/);
    assertShows(demo.output, readmeStory());
    const instance = /nebula\.instance=(demo-\w+)/.exec(demo.output)?.[1];
    assert.ok(instance !== undefined, demo.output);
    const left = await new Docker({ socketPath: DOCKER_SOCKET }).listContainers({ all: true, filters: { label: [`nebula.instance=${instance}`] } });
    assert.deepEqual(left, []);
    assert.deepEqual(await readdir(folder), []);
  });

  it("the demo that is kept prints the dashboard's address and a login that it takes, and removes everything when it is interrupted", async () => {
    await using demo = new Program(["demo", "--devices", "3", "--keep"], { env: { TMPDIR: folder } });
    await demo.printed(/npm run nebulactl/, 50_000);
    const address = /dashboard +(http:\S+\/ui\/)$/m.exec(demo.output)?.[1] ?? assert.fail(demo.output);
    const [, user, password] = /login +user (\S+), password (\S+)$/m.exec(demo.output) ?? assert.fail(demo.output);
    const page = await fetch(address);
    assert.match(page.headers.get("content-type") ?? "", /^text\/html/);
    const { origin } = new URL(address);
    const login = { method: "POST", headers: { origin, "content-type": "application/json" }, body: JSON.stringify({ user, password }) };
    assert.equal((await fetch(`${origin}/ui/login`, login)).status, 200);
    assert.equal(await demo.stop(), 0, demo.output);
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
    assert.deepEqual(followed(demo.output), expected(DEVICES), demo.output);
    assert.deepEqual(await readdir(folder), []);
  });
});

/** The lines of the block below `<!-- demo -->` in the README. */
function readmeStory(): string[] {
  const readme = readFileSync(new URL("../README.md", import.meta.url), "utf8");
  return commandsBelow(readme, "demo")
    .split("\n")
    .filter((line) => line !== "");
}

/** Asserts that the output has these lines, in their order, apart from times, ids and indents. */
function assertShows(output: string, lines: readonly string[]): void {
  const plain = (line: string) =>
    line
      .trim()
      .replaceAll(/\b[\d.]+ (ms|s|min)\b/g, "N s")
      .replaceAll(/\b\d+:\d\d$/g, "M:SS")
      .replaceAll(/\b(etag|shard) \S+/g, "$1 X")
      .replace(/\btried .*$/, "tried")
      .replaceAll(/\bplan [\da-f]+\b/g, "plan ID");
  const shown = output.split("\n").map(plain);
  assert.ok(lines.length > 10, `${lines.length} lines`);
  let from = 0;
  for (const line of lines.map(plain)) {
    const at = shown.indexOf(line, from);
    assert.ok(at >= 0, `the demo does not show "${line}" after "${shown[from - 1]}":\n${output}`);
    from = at + 1;
  }
}
