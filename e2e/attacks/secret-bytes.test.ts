import { strict as assert } from "node:assert";
import { type SpawnSyncReturns, spawnSync } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
/** As an editor with another encoding saves it. */
const LATIN1 = Buffer.from("NAME=p\u00e9sky-geheim\n", "latin1");

describe("a secret whose bytes are not UTF-8", function () {
  this.timeout(60_000);
  let folder = "";
  let file = "";
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), "nebula-bytes-"));
    file = join(folder, "secret");
    await writeFile(file, LATIN1);
  });
  after(() => rm(folder, { recursive: true }));

  function run(program: string, args: readonly string[], { input = Buffer.alloc(0), env = {} } = {}): SpawnSyncReturns<string> {
    const path = { PATH: process.env.PATH ?? "", HOME: folder, NEBULA_SERVER: "http://127.0.0.1:9" };
    return spawnSync(process.execPath, [program, ...args], { cwd: ROOT, env: { ...path, ...env }, input, encoding: "utf8", timeout: 30_000 });
  }

  function isRefused({ status, stdout, stderr }: SpawnSyncReturns<string>, source: RegExp): void {
    const said = `${stdout}${stderr}`;
    assert.notEqual(status, 0, said);
    assert.match(said, /not UTF-8/);
    assert.match(said, source);
    assert.doesNotMatch(said, /sky-geheim/, "the secret is repeated");
  }

  it("ends the start of a server, named by its setting", () => {
    for (const name of ["NEBULA_ADMIN_PASSWORD", "NEBULA_ADMIN_TOKEN", "NEBULA_CLUSTER_KEY"])
      isRefused(run("cli/nebula.js", ["server", "--data", join(folder, "data")], { env: { [`${name}_FILE`]: file } }), new RegExp(`${name}_FILE`));
  });

  it("in a generated secret's file ends the start of a server", async () => {
    const data = await mkdtemp(join(folder, "data-"));
    await writeFile(join(data, "cluster-key"), LATIN1);
    isRefused(run("cli/nebula.js", ["server", "--data", data]), /cluster-key/);
  });

  it("ends a worker's start", () => {
    const env = { NEBULA_TOKEN_FILE: file, NEBULA_DEVICE_GROUP: "g", NEBULA_RUNTIME: "simulated:" };
    isRefused(run("cli/nebula.js", ["worker", "--data", join(folder, "worker")], { env }), /NEBULA_TOKEN_FILE/);
  });

  it("is refused by nebulactl from every file and from standard input", () => {
    const nebulactl = (args: readonly string[], options: Parameters<typeof run>[2] = {}) => run("cli/nebulactl.js", args, options);
    isRefused(nebulactl(["login", "--server", "http://127.0.0.1:9", "--username", "ann", "--password-stdin"], { input: LATIN1 }), /standard input/);
    isRefused(nebulactl(["apps", "list", "--username", "ann", "--password-file", file]), /--password-file/);
    isRefused(nebulactl(["apps", "list", "--token-file", file]), /--token-file/);
    isRefused(nebulactl(["apps", "list"], { env: { NEBULA_TOKEN_FILE: file } }), /NEBULA_TOKEN_FILE/);
    isRefused(nebulactl(["users", "create", "ann", "--password-stdin"], { input: LATIN1 }), /standard input/);
    isRefused(nebulactl(["apps", "create", "web", "--image", "web:1", "--secret-env-file", file]), /secret/);
    isRefused(nebulactl(["import", "--from", "http://127.0.0.1:9", "--from-user", "x", "--from-password-file", file]), /--from-password-file/);
    isRefused(nebulactl(["apply", "-f", file]), /-f/);
    isRefused(nebulactl(["apply", "-f", "-"], { input: LATIN1 }), /standard input/);
  });
});
