import { strict as assert } from "node:assert";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { cp, mkdtemp, readFile, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { CONFIG_DATABASE } from "../../common/open-drivers.ts";
import { openSqliteConfigStore } from "../../common/storage/sqlite/config-store.ts";
import { endWithTests } from "../../common/testing/end-with-tests.ts";
import { eventually } from "../../common/testing/eventually.ts";
import { freePort } from "../../common/testing/free-port.ts";

const NEBULA = fileURLToPath(new URL("../nebula.js", import.meta.url));
const STOP_SIGNALS = new URL("./command/stop-signals.ts", import.meta.url).href;

/** A program in a process of its own, with no settings but those given. */
class Child implements AsyncDisposable {
  readonly process: ChildProcess;
  out = "";
  errors = "";
  readonly #exit: Promise<unknown>;

  constructor(args: readonly string[], env: Readonly<Record<string, string>> = {}) {
    const clean = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith("NEBULA_")));
    this.process = endWithTests(spawn(process.execPath, args, { env: { ...clean, ...env }, stdio: ["ignore", "pipe", "pipe"] }));
    this.#exit = once(this.process, "close");
    this.process.stdout?.on("data", (chunk) => {
      this.out += chunk;
    });
    this.process.stderr?.on("data", (chunk) => {
      this.errors += chunk;
    });
  }

  async exit(): Promise<number | null> {
    await this.#exit;
    return this.process.exitCode;
  }

  get ended(): boolean {
    return this.process.exitCode !== null || this.process.signalCode !== null;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.ended) this.process.kill("SIGKILL");
    await this.#exit;
  }
}

describe("nebula as a process", function () {
  this.timeout(60_000);
  let root: string;
  let data: string;
  beforeEach(async () => {
    root = await mkdtemp(join(tmpdir(), "nebula-process-"));
    data = join(root, "data");
  });
  afterEach(() => rm(root, { recursive: true, force: true }));

  it("nebula shows given texts without letting them take effect", async () => {
    await using child = nebula("serv\x9b31m\u202e\u200b");
    assert.deepEqual([await child.exit(), child.out], [1, ""]);
    assert.match(child.errors, /^nebula: .*serv\\x9b31m\\u202e\\u200b.*\n$/);
  });

  function nebula(...args: string[]): Child {
    return new Child([NEBULA, ...args], { NEBULA_DATA: data });
  }

  /** A server that is up, on ports of its own, with its URL. */
  async function server(...args: string[]): Promise<Child & { url: string }> {
    const child = nebula("server", "--http-listen", "127.0.0.1:0", "--grpc-listen", "127.0.0.1:0", "--metrics-listen", "off", ...args);
    const url = await eventually(() => {
      if (child.ended) assert.fail(child.errors);
      return /http:\/\/127\.0\.0\.1:\d+/.exec(child.out)?.[0] ?? false;
    });
    return Object.assign(child, { url: String(url) });
  }

  async function run(...args: string[]): Promise<{ code: number | null; out: string; errors: string }> {
    const child = nebula(...args);
    return { code: await child.exit(), out: child.out, errors: child.errors };
  }

  async function call(url: string, method: string, body: object): Promise<Record<string, unknown>> {
    const password = (await readFile(join(data, "admin-password"), "utf8")).trim();
    const headers = { "content-type": "application/json", authorization: `Basic ${Buffer.from(`admin:${password}`).toString("base64")}` };
    const response = await fetch(`${url}/nebula.v1.${method}`, { method: "POST", headers, body: JSON.stringify(body) });
    assert.equal(response.status, 200, `${method}: ${response.status}`);
    return Object(await response.json());
  }

  it("nebula starts, prints its addresses and where the password is kept, serves, and stops with 0", async () => {
    await using child = await server();
    const kept = join(data, "admin-password");
    assert.match(child.out, /^Nebula \d+\.\d+\.\d+ is up\.$/m);
    assert.ok(child.out.includes(`admin, password in ${kept}`), child.out);
    const password = (await readFile(kept, "utf8")).trim();
    assert.equal((await stat(kept)).mode & 0o777, 0o600);
    assert.equal((await call(child.url, "StatusService/GetStatus", {})).user, "admin");
    child.process.kill("SIGTERM");
    assert.equal(await child.exit(), 0);
    assert.ok(!`${child.out}${child.errors}`.includes(password), "the password is in the output");
    for (const line of child.errors.trimEnd().split("\n")) assert.equal(typeof JSON.parse(line), "object", line);
  });

  it("nebula logs lines for people on a terminal, and JSON elsewhere or where it is asked for", async () => {
    const flags = ["worker", "--runtime", "simulated:", "--device-group", "pos", "--data", data, "--server", "grpc://127.0.0.1:1"];
    const onTerminal = `exec "${process.execPath}" "${NEBULA}" ${flags.join(" ")}`;
    for (const [env, first] of [
      [{ NEBULA_LOG_FORMAT: "" }, /^\d\d:\d\d:\d\d\.\d{3} .{0,9}(info|warn|error).{0,9}worker/m],
      [{ NEBULA_LOG_FORMAT: "json" }, /^\{"level":"\w+",/m],
    ] as const) {
      const child = endWithTests(spawn("script", ["-qefc", onTerminal, "/dev/null"], { env: { ...process.env, ...env, NEBULA_TOKEN: "t" } }));
      let shown = "";
      child.stdout.on("data", (chunk: Buffer) => (shown += chunk));
      await eventually(() => first.test(shown) || child.exitCode !== null, { timeoutMs: 20_000 });
      child.kill("SIGTERM");
      await once(child, "close");
      assert.match(shown, first);
    }
    await using elsewhere = new Child([NEBULA, ...flags], { NEBULA_TOKEN: "t" });
    await eventually(() => elsewhere.errors.includes("\n"));
    assert.equal(JSON.parse(elsewhere.errors.split("\n")[0] ?? "").part, "worker");
  });

  it("nebula health says whether the part with the same settings is well", async () => {
    const port = await freePort();
    const health = async (...args: string[]) => run("health", "--metrics-listen", `0.0.0.0:${port}`, ...args);
    const before = await health();
    assert.deepEqual([before.code, before.errors], [1, `nebula: nothing answers at http://127.0.0.1:${port}/healthz\n`]);
    await using child = nebula("gateway", "--http-listen", "127.0.0.1:0", "--grpc-listen", "127.0.0.1:1", "--metrics-listen", `127.0.0.1:${port}`);
    await eventually(() => child.out.includes("is up"));
    assert.deepEqual(await health(), { code: 0, out: "ok\n", errors: "" });
    const ready = await health("--ready");
    assert.deepEqual([ready.code, ready.out], [1, ""]);
    assert.match(ready.errors, /^nebula: http:\/\/127\.0\.0\.1:\d+\/readyz: .*no manager answers/);
    assert.match((await run("health", "--metrics-listen", "off")).errors, /^nebula: --metrics-listen is off, .*: give it an address\n$/);
  });

  it("nebula stops with 0 while a watch is open, whose stream ends with a reason", async () => {
    await using child = await server("--auth-enabled", "false");
    const headers = { "content-type": "application/json" };
    const watch = await fetch(`${child.url}/nebula.v1.ConfigService/WatchConfig`, { method: "POST", headers, body: '{"device_group": "none"}' });
    assert.equal(watch.status, 200);
    const rest = watch.text();
    child.process.kill("SIGINT");
    assert.equal(await child.exit(), 0);
    assert.match(await rest, /"no_such_group".*\n.*("unavailable"|"redirect")/);
  });

  it("nebula ends at once at a second signal", async () => {
    const script = `import { aborted, onStopSignal } from "${STOP_SIGNALS}";
      aborted(onStopSignal(console.error)).then(() => console.log("asked"));
      setInterval(() => {}, 1000);
      console.log("up");`;
    await using child = new Child(["--input-type=module", "--eval", script]);
    await eventually(() => child.out.includes("up"));
    child.process.kill("SIGTERM");
    await eventually(() => child.out.includes("asked")); // two at once would be one
    child.process.kill("SIGTERM");
    assert.equal(await child.exit(), 143);
  });

  it("nebula ends with its exit code although a library left something open, and names it", async () => {
    const script = `import { endProcess } from "${STOP_SIGNALS}";
      setInterval(() => {}, 1000);
      endProcess(3, console.error, 100);`;
    await using child = new Child(["--input-type=module", "--eval", script]);
    assert.equal(await child.exit(), 3);
    assert.match(child.errors, /^the program is done, and ends although something is still open: .*Timeout/);
  });

  it("nebula ends with its exit code at once where nothing is open, and prints nothing", async () => {
    const script = `import { endProcess } from "${STOP_SIGNALS}"; endProcess(3, console.error, 10_000);`;
    await using child = new Child(["--input-type=module", "--eval", script]);
    assert.equal(await child.exit(), 3);
    assert.equal(child.errors, "");
  });

  it("nebula ends with 1 and one line when its store becomes one of another epoch", async () => {
    await using child = await server("--cache-time", "1s");
    const before = Object((await call(child.url, "StatusService/GetStatus", {})).cluster);
    await using beside = await openSqliteConfigStore({ path: join(data, CONFIG_DATABASE) });
    await beside.raiseEpoch(0);
    assert.equal(await child.exit(), 1);
    const [last] = child.errors.trimEnd().split("\n").slice(-1);
    assert.equal(
      last,
      `nebula: the store was cluster ${before.id}, epoch 1, and is cluster ${before.id}, epoch 2 now: it was restored or replaced; start this manager again`,
    );
  });

  it("nebula says in one line that a port is taken, or the data folder", async () => {
    await using child = await server();
    const folder = await run("server", "--http-listen", "127.0.0.1:0", "--grpc-listen", "127.0.0.1:0", "--metrics-listen", "off");
    assert.equal(folder.code, 1);
    assert.match(folder.errors, /^nebula: the data folder \S+ is in use by another Nebula process[^\n]*\n$/);
    const http = child.url.slice("http://".length);
    const port = await run(
      "server",
      "--data",
      join(root, "other"),
      "--http-listen",
      http,
      "--grpc-listen",
      "127.0.0.1:0",
      "--metrics-listen",
      "off",
      "--log-level",
      "error",
    );
    assert.equal(port.code, 1);
    assert.equal(port.errors, `nebula: ${http} (--http-listen) is taken: stop what listens there, or give another address\n`);
    const metrics = await run("server", "--data", join(root, "other"), "--http-listen", "127.0.0.1:0", "--metrics-listen", http);
    assert.equal(metrics.errors, `nebula: ${http} (--metrics-listen) is taken: stop what listens there, or give another address\n`);
  });

  it("nebula backs up a running server; the restored copy is a cluster of the same id and a higher epoch", async () => {
    const copy = join(root, "backup");
    await using child = await server();
    await call(child.url, "AppService/CreateApp", { app: { name: "web", docker_image: "shop:1" } });
    const before = Object((await call(child.url, "StatusService/GetStatus", {})).cluster);
    const taken = await run("backup", "--to", copy);
    assert.equal(taken.code, 0, taken.errors);
    assert.equal((await run("backup", "--to", copy)).code, 1, "a backup was overwritten");
    await call(child.url, "AppService/CreateApp", { app: { name: "later", docker_image: "shop:1" } });

    const refused = await run("migrate", "--after-restore");
    assert.equal(refused.code, 1);
    assert.match(refused.errors, /is in use by another Nebula process/);
    child.process.kill("SIGTERM");
    assert.equal(await child.exit(), 0);

    await rm(data, { recursive: true });
    await cp(copy, data, { recursive: true });
    const migrated = await run("migrate", "--after-restore");
    assert.equal(migrated.code, 0, migrated.errors);
    assert.match(migrated.out, /\nthe newest change in the audit log of this store is of 20\d\d-.*Z: what was revoked later is not listed/);
    await using restored = await server();
    const after = Object((await call(restored.url, "StatusService/GetStatus", {})).cluster);
    assert.equal(after.id, before.id);
    assert.ok(BigInt(after.epoch) > BigInt(before.epoch), `${before.epoch} -> ${after.epoch}`);
    const { apps } = await call(restored.url, "AppService/ListApps", {});
    assert.deepEqual(Array.isArray(apps) && apps.map(({ name }) => name), ["web"]);
    await assert.rejects(stat(`${copy}.partial`));
  });
});
