import { strict as assert } from "node:assert";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
type Ended = Readonly<{ status: number | null; said: string }>;

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

  /** Answers the exit code and all that was printed. */
  async function run(program: string, args: readonly string[], { input = Buffer.alloc(0), env = {} } = {}): Promise<Ended> {
    const path = { PATH: process.env.PATH ?? "", HOME: folder, NEBULA_SERVER: "http://127.0.0.1:9" };
    const child = spawn(process.execPath, [program, ...args], { cwd: ROOT, env: { ...path, ...env }, timeout: 30_000 });
    let said = "";
    for (const stream of [child.stdout, child.stderr]) stream.setEncoding("utf8").on("data", (text: string) => (said += text));
    child.stdin.on("error", () => {}).end(input); // it may end before it has read
    const [status] = await once(child, "close");
    return { status, said };
  }

  async function isRefused(ended: Promise<Ended>, source: RegExp): Promise<void> {
    const { status, said } = await ended;
    assert.notEqual(status, 0, said);
    assert.match(said, /not UTF-8/);
    assert.match(said, source);
    assert.doesNotMatch(said, /sky-geheim/, "the secret is repeated");
  }

  it("a secret whose bytes are not UTF-8 ends the start of a server, named by its setting", async () => {
    const refusals = ["NEBULA_ADMIN_PASSWORD", "NEBULA_ADMIN_TOKEN", "NEBULA_CLUSTER_KEY"].map((name) => {
      const data = join(folder, `data-of-${name}`);
      return isRefused(run("cli/nebula.js", ["server", "--data", data], { env: { [`${name}_FILE`]: file } }), new RegExp(`${name}_FILE`));
    });
    await Promise.all(refusals);
  });

  it("a secret whose bytes are not UTF-8 in a generated secret's file ends the start of a server", async () => {
    const data = await mkdtemp(join(folder, "data-"));
    await writeFile(join(data, "cluster-key"), LATIN1);
    await isRefused(run("cli/nebula.js", ["server", "--data", data]), /cluster-key/);
  });

  it("a secret whose bytes are not UTF-8 ends a worker's start", async () => {
    const env = { NEBULA_TOKEN_FILE: file, NEBULA_DEVICE_GROUP: "g", NEBULA_RUNTIME: "simulated:" };
    await isRefused(run("cli/nebula.js", ["worker", "--data", join(folder, "worker")], { env }), /NEBULA_TOKEN_FILE/);
  });

  it("a secret whose bytes are not UTF-8 is refused by nebulactl from every file and from standard input", async () => {
    const nebulactl = (args: readonly string[], options: Parameters<typeof run>[2] = {}) => run("cli/nebulactl.js", args, options);
    const refusals = [
      isRefused(nebulactl(["login", "--server", "http://127.0.0.1:9", "--username", "ann", "--password-stdin"], { input: LATIN1 }), /standard input/),
      isRefused(nebulactl(["apps", "list", "--username", "ann", "--password-file", file]), /--password-file/),
      isRefused(nebulactl(["apps", "list", "--token-file", file]), /--token-file/),
      isRefused(nebulactl(["apps", "list"], { env: { NEBULA_TOKEN_FILE: file } }), /NEBULA_TOKEN_FILE/),
      isRefused(nebulactl(["users", "create", "ann", "--password-stdin"], { input: LATIN1 }), /standard input/),
      isRefused(nebulactl(["apps", "create", "web", "--image", "web:1", "--secret-env-file", file]), /secret/),
      isRefused(nebulactl(["import", "--from", "http://127.0.0.1:9", "--from-user", "x", "--from-password-file", file]), /--from-password-file/),
      isRefused(nebulactl(["apply", "-f", file]), /-f/),
      isRefused(nebulactl(["apply", "-f", "-"], { input: LATIN1 }), /standard input/),
    ];
    await Promise.all(refusals);
  });
});
