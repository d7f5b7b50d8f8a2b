import { strict as assert } from "node:assert";
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { copyFile, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { eventually } from "../../common/testing/eventually.ts";
import { VERSION } from "../../common/version.ts";
import { bundlePrograms } from "./bundle-programs.ts";

const run = promisify(execFile);

/** Runs before a program, and makes it believe in an older Node. */
const OLDER = `data:text/javascript,Object.defineProperty(process,"versions",{value:{...process.versions,node:"20.20.2"}})`;

const BCRYPT_OF_A = "$2a$06$m0CrhHm10qJ3lXRY.5zDGO3rS2KdeeWLuGmsfGlMfOxih58VYVfxe";

describe("the bundled programs", function () {
  this.timeout(60_000);
  let folder: string;
  const environment = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith("NEBULA_")));

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), "nebula-build-"));
    await bundlePrograms(folder);
  });
  after(() => rm(folder, { recursive: true, force: true }));

  /** Starts a program by its own first line; answers its output so far, and ends it with the block. */
  function start(program: string, args: readonly string[], env: Readonly<Record<string, string>>) {
    const child = spawn(join(folder, program), args, { cwd: folder, env: { ...environment, ...env }, stdio: ["ignore", "pipe", "pipe"] });
    let out = "";
    for (const stream of [child.stdout, child.stderr])
      stream.setEncoding("utf8").on("data", (text: string) => {
        out += text;
      });
    const closed = once(child, "close");
    return {
      get out() {
        assert.equal(child.exitCode, null, out);
        return out;
      },
      pid: child.pid,
      async stop(): Promise<number | null> {
        child.kill("SIGTERM");
        await closed;
        return child.exitCode;
      },
      async [Symbol.asyncDispose]() {
        child.kill("SIGKILL");
        await closed;
      },
    };
  }

  async function fileOf(name: string, text: string): Promise<string> {
    await writeFile(join(folder, name), text);
    return join(folder, name);
  }

  it("the bundled programs say which Node they need where it is too old, in one line, and can be read by that", async () => {
    for (const name of ["nebula", "nebula-worker", "nebulactl"]) {
      const child = spawn(process.execPath, ["--import", OLDER, join(folder, `${name}.mjs`), "--version"], {
        env: environment,
        stdio: ["ignore", "pipe", "pipe"],
      });
      const [out, err, [code]] = await Promise.all([text(child.stdout), text(child.stderr), once(child, "close")]);
      assert.deepEqual([code, out], [1, ""]);
      assert.match(err, new RegExp(`^${name}: Node 26 or newer is needed, and this is 20\\.20\\.2 .*: install it from https://nodejs\\.org.*\\n$`));
      const program = await readFile(join(folder, `${name}.mjs`), "utf8");
      assert.doesNotMatch(program, /^import .*("node:sqlite"|\bargon2\b)/m, "Node 20 has no such thing");
      assert.doesNotMatch(program, /^ *(await )?using \w+ =/m, "Node 20 can't read it");
    }
  });

  it("the bundled programs are one file each, and say what they are", async () => {
    assert.deepEqual((await readdir(folder)).sort(), ["nebula-worker.mjs", "nebula.mjs", "nebulactl.mjs"]);
    for (const [program, name] of [
      ["nebula.mjs", "nebula"],
      ["nebula-worker.mjs", "nebula"],
      ["nebulactl.mjs", "nebulactl"],
    ] as const) {
      const { stdout } = await run(join(folder, program), ["--version"], { env: environment });
      assert.equal(stdout.trim(), `${name} ${VERSION}`);
    }
  });

  it("the bundled worker leaves modules that it does not use out of its file", async () => {
    const [worker, whole] = await Promise.all(["nebula-worker.mjs", "nebula.mjs"].map((name) => readFile(join(folder, name), "utf8")));
    assert.ok(whole?.includes("CREATE TABLE") && !worker?.includes("CREATE TABLE"), "stores");
    for (const text of [worker, whole]) assert.ok(text !== undefined && !text.includes("ssh-userauth") && !text.includes("@protobufjs/"));
  });

  it("the bundled programs bring the drivers of other servers with them", async () => {
    const tries = [
      { setting: { NEBULA_BUS: "kafka://127.0.0.1:1/reports" }, args: ["migrate"], says: /Kafka is unreachable/ },
      { setting: { NEBULA_REDIS: "redis://127.0.0.1:1" }, args: ["server"], says: /Redis does not answer/ },
      { setting: { NEBULA_STORE: "cassandra://127.0.0.1:1/nebula" }, args: ["server"], says: /Cassandra/ },
    ];
    for (const { setting, args, says } of tries) {
      const free = args[0] === "server" ? ["--http-listen", "127.0.0.1:0", "--grpc-listen", "127.0.0.1:0", "--metrics-listen", "off"] : [];
      const child = spawn(join(folder, "nebula.mjs"), [...args, ...free, "--data", join(folder, "elsewhere")], {
        cwd: folder,
        env: { ...environment, ...setting },
        stdio: ["ignore", "pipe", "pipe"],
      });
      let output = "";
      for (const stream of [child.stdout, child.stderr]) stream.on("data", (chunk: Buffer) => (output += chunk));
      await eventually(() => says.test(output) || child.exitCode !== null, { timeoutMs: 20_000 });
      child.kill("SIGKILL");
      assert.match(output, says);
      assert.doesNotMatch(output, /Cannot find|unhandled error/);
    }
  });

  it("the bundled worker loads no module of Node that it does not use: undici alone takes 20 MB", async () => {
    const list = `data:text/javascript,process.on("exit",()=>console.error(process.moduleLoadList.join("\\n")))`;
    const flags = ["--runtime", "simulated:", "--device-group", "demo", "--device-id", "d9", "--data", join(folder, "lean-worker")];
    const child = spawn(process.execPath, ["--import", list, join(folder, "nebula-worker.mjs"), ...flags], {
      env: { ...environment, NEBULA_SERVER: "http://127.0.0.1:1", NEBULA_TOKEN: "a-token-of-nobody" },
      stdio: ["ignore", "ignore", "pipe"],
    });
    let output = "";
    child.stderr.on("data", (chunk: Buffer) => (output += chunk));
    await eventually(() => /127\.0\.0\.1:1\b/.test(output), { timeoutMs: 20_000 }); // it has tried to reach its server
    child.kill("SIGTERM");
    await once(child, "close");
    assert.match(output, /NativeModule _http_client/);
    assert.doesNotMatch(output, /NativeModule internal\/deps\/undici/);
  });

  it("the bundled programs work together: a server, a worker that follows it, and nebulactl", async () => {
    const data = join(folder, "data");
    const free = ["--http-listen", "127.0.0.1:0", "--grpc-listen", "127.0.0.1:0", "--metrics-listen", "off"];
    await using server = start("nebula.mjs", ["server", ...free, "--data", data], {});
    const url = await eventually(() => /http:\/\/127\.0\.0\.1:\d+/.exec(server.out)?.[0] ?? false, { timeoutMs: 20_000 });
    assert.match(await readFile(`/proc/${server.pid}/cmdline`, "utf8"), /max-semi-space-size=16/);
    const login = {
      NEBULA_SERVER: String(url),
      NEBULA_USER: "admin",
      NEBULA_PASSWORD: (await readFile(join(data, "admin-password"), "utf8")).trim(),
    };
    await copyFile(fileURLToPath(new URL("../../examples/demo.yaml", import.meta.url)), join(folder, "demo.yaml"));
    const nebulactl = (...args: string[]) =>
      run(join(folder, "nebulactl.mjs"), args, { cwd: folder, env: { ...environment, ...login, HOME: folder } });
    await nebulactl("apply", "-f", "demo.yaml");

    await fetch(`${url}/nebula.v1.UserService/CreateUser`, {
      method: "POST",
      headers: { "content-type": "application/json", authorization: `Basic ${btoa(`admin:${login.NEBULA_PASSWORD}`)}` },
      body: JSON.stringify({ name: "ann", password_hash: BCRYPT_OF_A }),
    });
    await nebulactl("ping", "--username", "ann", "--password-file", await fileOf("password", "a"));
    assert.match(
      (await nebulactl("users", "info", "ann")).stdout,
      /^password +argon2id$/m,
      "a hash that was carried over is replaced at the first login",
    );

    const flags = ["--runtime", "simulated:", "--device-group", "demo", "--device-id", "d1", "--data", join(folder, "worker")];
    await using worker = start("nebula-worker.mjs", flags, login);
    await eventually(
      async () => worker.out !== "" && /\bd1\b.*\bapplied\b/.test((await nebulactl("devices", "list", "--device-group", "demo")).stdout),
      {
        timeoutMs: 30_000,
        everyMs: 500,
      },
    );
    assert.equal(await worker.stop(), 0);
    assert.equal(await server.stop(), 0);
  });
});
