import { strict as assert } from "node:assert";
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { chmod, mkdir, mkdtemp, readdir, readFile, readlink, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { promisify } from "node:util";
import { endWithTests } from "../../common/testing/end-with-tests.ts";
import { eventually } from "../../common/testing/eventually.ts";
import { freePort } from "../../common/testing/free-port.ts";
import { MACHINE_PATH, npmEnvironment } from "../../common/testing/npm-environment.ts";
import { VERSION } from "../../common/version.ts";
import { writePackage } from "./write-package.ts";

const run = promisify(execFile);

const COMMANDS = ["nebula", "nebula-worker", "nebulactl"];

describe("the npm package", function () {
  this.timeout(600_000); // npm downloads a Node of some 50 MB
  let root: string;
  let dist: string;
  before(async () => {
    root = await mkdtemp(join(tmpdir(), "nebula-package-"));
    dist = join(root, "dist");
    await writePackage(dist);
  });
  after(() => rm(root, { recursive: true, force: true }));

  /** A command's code and output, in an environment with nothing but a PATH. */
  async function outcome(command: string, args: readonly string[], path: string) {
    const ended = await run(command, args, { env: { PATH: path, HOME: root } }).catch((error) => error);
    return { code: ended.code ?? 0, out: String(ended.stdout), err: String(ended.stderr) };
  }

  /** A folder with one `node`, and what the commands themselves are made of. */
  async function pathWith(name: string, node: string | undefined): Promise<string> {
    const folder = join(root, name);
    await mkdir(folder);
    for (const command of ["sh", "env", "readlink", "uname"])
      for (const place of ["/bin", "/usr/bin"]) await symlink(join(place, command), join(folder, command)).catch(() => {});
    if (node !== undefined) {
      await writeFile(join(folder, "node"), `#!/bin/sh\n${node}\n`);
      await chmod(join(folder, "node"), 0o755);
    }
    return folder;
  }

  it("the npm package is installed where nothing else is, and runs on the Node that it brings, not on that of the machine", async () => {
    const { stdout } = await run("npm", ["pack", "--json", "--pack-destination", root], { cwd: dist });
    const [{ filename, files }] = JSON.parse(stdout);
    assert.deepEqual(
      files.map(({ path }: { path: string }) => path).sort(),
      [...COMMANDS.flatMap((name) => [name, `${name}.mjs`]), "LICENSE", "README.md", "THIRD_PARTY_LICENSES.txt", "package.json"].sort(),
    );
    const prefix = join(root, "prefix");
    const home = join(root, "home");
    await mkdir(home);
    await run("npm", ["install", "--global", "--prefix", prefix, join(root, filename)], {
      cwd: home,
      env: { PATH: MACHINE_PATH.join(delimiter), HOME: home, ...npmEnvironment() },
    });
    assert.deepEqual((await readdir(join(prefix, "bin"))).sort(), COMMANDS);
    assert.equal((await readdir(join(prefix, "lib/node_modules/nebula/node_modules"))).filter((name) => name.startsWith("node-")).length, 1);

    const bin = (name: string) => join(prefix, "bin", name);
    const old = await pathWith("old", "echo the machine has a Node, and it was run >&2; exit 20");
    for (const [name, says] of [
      ["nebula", "nebula"],
      ["nebula-worker", "nebula"],
      ["nebulactl", "nebulactl"],
    ] as const)
      assert.deepEqual(await outcome(bin(name), ["--version"], old), { code: 0, out: `${says} ${VERSION}\n`, err: "" });

    const http = `127.0.0.1:${await freePort()}`;
    const listens = { NEBULA_HTTP_LISTEN: http, NEBULA_GRPC_LISTEN: "127.0.0.1:0", NEBULA_METRICS_LISTEN: "off" };
    await using server = started(bin("nebula"), ["server", "--data", join(home, "data")], { PATH: old, ...listens });
    await server.printed(/is up/);
    assert.match(await readlink(`/proc/${server.pid}/exe`), /\/lib\/node_modules\/nebula\/node_modules\/node-linux-\w+\/bin\/node$/);
    assert.match(await readFile(`/proc/${server.pid}/cmdline`, "utf8"), /--max-semi-space-size=16/);
    const login = {
      NEBULA_SERVER: `http://${http}`,
      NEBULA_USER: "admin",
      NEBULA_PASSWORD: (await readFile(join(home, "data/admin-password"), "utf8")).trim(),
    };
    const ping = await run(bin("nebulactl"), ["ping"], { env: { PATH: old, HOME: home, ...login } });
    assert.match(ping.stdout, new RegExp(`^version +${VERSION.replaceAll(".", "\\.")}$`, "m"));

    const dashboard = await (await fetch(`http://${http}/ui/`)).text();
    const [, script = ""] = /<script type="module" src="([^"]+)">/.exec(dashboard) ?? [];
    assert.match(await (await fetch(`http://${http}${script}`)).text(), /^import\b/);

    // its own program, with the flags that keep it small
    const flags = ["worker", "--runtime", "simulated:", "--device-group", "pos", "--data", join(home, "worker")];
    await using worker = started(bin("nebula"), flags, { PATH: old, ...login });
    await worker.printed(/this device is /);
    assert.match(await readFile(`/proc/${worker.pid}/cmdline`, "utf8"), /--lite-mode.*nebula-worker\.mjs/s);
    assert.match(await readFile(`/proc/${worker.pid}/environ`, "utf8"), /MALLOC_ARENA_MAX=1/);
  });

  function started(command: string, args: readonly string[], env: Readonly<Record<string, string>>) {
    const child = endWithTests(spawn(command, args, { cwd: root, env, stdio: ["ignore", "pipe", "pipe"] }));
    let out = "";
    for (const stream of [child.stdout, child.stderr]) stream.setEncoding("utf8").on("data", (text: string) => (out += text));
    const closed = once(child, "close");
    return {
      pid: child.pid,
      async printed(pattern: RegExp) {
        await eventually(() => pattern.test(out) || child.exitCode !== null, { timeoutMs: 20_000 });
        assert.match(out, pattern);
      },
      async [Symbol.asyncDispose]() {
        child.kill("SIGTERM");
        await closed;
      },
    };
  }

  it("the npm package without the Node that it brings runs on the machine's, if that is new enough", async () => {
    const own = await pathWith("own", `exec "${process.execPath}" "$@"`);
    for (const name of COMMANDS) assert.equal((await outcome(join(dist, name), ["--version"], own)).code, 0, name);
    await symlink(join(dist, "nebulactl"), join(root, "linked"));
    assert.equal((await outcome(join(root, "linked"), ["--version"], own)).out, `nebulactl ${VERSION}\n`);
  });

  it("the npm package without the Node that it brings says in one line which it needs, if the machine's is older or absent", async () => {
    const older = `data:text/javascript,Object.defineProperty(process,"versions",{value:{...process.versions,node:"20.20.2"}})`;
    const old = await pathWith("older", `exec "${process.execPath}" --import '${older}' "$@"`);
    const none = await pathWith("none", undefined);
    for (const name of COMMANDS) {
      const onOld = await outcome(join(dist, name), ["--version"], old);
      assert.deepEqual([onOld.code, onOld.out], [1, ""]);
      assert.match(onOld.err, new RegExp(`^${name}: Node 26 or newer is needed, and this is 20\\.20\\.2 .*\\n$`));
      const onNone = await outcome(join(dist, name), ["--version"], none);
      assert.deepEqual([onNone.code, onNone.out], [1, ""]);
      assert.match(onNone.err, new RegExp(`^${name}: Node 26 or newer is needed, and this machine has none: .*\\n$`));
    }
  });

  it("the npm package names each package that its programs contain, with its licence", async () => {
    const notices = await readFile(join(dist, "THIRD_PARTY_LICENSES.txt"), "utf8");
    for (const [name, text] of [
      ["pino", "MIT"],
      ["preact", "MIT"],
      ["@grpc/grpc-js", "Apache-2.0"],
      ["cassandra-driver", "Apache-2.0"],
    ])
      assert.match(notices, new RegExp(`^${name} \\d+\\.\\d+\\.\\d+ \\(${text}\\)$`, "m"));
    assert.match(notices, /^Copyright \(c\) .*\bpino\b/m);
    assert.doesNotMatch(notices, /\(undefined\)/);
  });
});
