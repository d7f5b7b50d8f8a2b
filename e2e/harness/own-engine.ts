import { strict as assert } from "node:assert";
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import Docker from "dockerode";
import { endWithTests } from "../../common/testing/end-with-tests.ts";
import { eventually } from "../../common/testing/eventually.ts";
import { IMAGE } from "./engine.ts";

const DOCKERD = "/usr/sbin/dockerd";

/**
 * A Docker Engine of the test's own, for what nobody may do to the machine's: prune its images, stop it. The engine has the test
 * image, and a bridge of its own. Its containers find its socket where those of any engine do, at /var/run/docker.sock:
 * it has a /run of its own.
 */
export class OwnEngine implements AsyncDisposable {
  readonly #folder = mkdtempSync(join(tmpdir(), "nebula-e2e-engine-"));
  readonly #bridge = `nbl${randomBytes(3).toString("hex")}`;
  readonly #subnet = `10.${200 + ((randomBytes(1)[0] ?? 0) % 50)}.${randomBytes(1)[0] ?? 0}`;
  #daemon: ChildProcess | undefined;

  /** Hooks an engine into the suite that is being described; it is there in its tests. */
  static describe(): () => OwnEngine {
    let engine: OwnEngine | undefined;
    before(async function () {
      engine = await OwnEngine.start(this);
    });
    after(async () => {
      await engine?.[Symbol.asyncDispose]();
    });
    return () => engine ?? assert.fail("the engine is not up");
  }

  /** Skips the test where no engine can be started (not root, no dockerd); under CI=true that is a failure. */
  static async start(context: Mocha.Context): Promise<OwnEngine> {
    const able = process.getuid?.() === 0 && spawnSync(DOCKERD, ["--version"]).status === 0;
    if (!able) {
      if (process.env.CI === "true") throw new Error(`${DOCKERD} can't be started: it has to be there, and the tests run as root`);
      context.skip();
    }
    const engine = new OwnEngine();
    run("ip", ["link", "add", engine.#bridge, "type", "bridge"]);
    run("ip", ["addr", "add", `${engine.#subnet}.1/24`, "dev", engine.#bridge]);
    run("ip", ["link", "set", engine.#bridge, "up"]);
    await engine.startDaemon();
    const saved = spawnSync("docker", ["save", IMAGE], { maxBuffer: 64 * 2 ** 20 });
    const loaded = spawnSync("docker", ["-H", `unix://${engine.socket}`, "load"], { input: saved.stdout });
    if (loaded.status !== 0) throw new Error(String(loaded.stderr));
    return engine;
  }

  /** The machine's address on the network of this engine's containers. */
  get hostAddress(): string {
    return `${this.#subnet}.1`;
  }

  get socket(): string {
    return join(this.#run, "docker.sock");
  }

  get #run(): string {
    return join(this.#folder, "run");
  }

  /** Starts the daemon, at first or again; resolves when it answers. */
  async startDaemon(): Promise<void> {
    const { socket } = this;
    const folder = (name: string) => join(this.#folder, name);
    mkdirSync(this.#run, { recursive: true });
    this.#daemon = endWithTests(
      spawn(
        "unshare",
        [
          "--mount",
          "sh",
          "-euc",
          'mount --bind "$0" /run; exec "$@"',
          this.#run,
          DOCKERD,
          "--data-root",
          folder("data"),
          "--exec-root",
          folder("exec"),
          "--pidfile",
          folder("pid"),
          "-H",
          "unix:///run/docker.sock",
          // A second daemon with rules of its own would take down those of the machine's. No --default-address-pool: with one, a daemon that is started
          // again removes docker0, which is the machine's.
          "--iptables=false",
          "--ip-masq=false",
          "--bridge",
          this.#bridge,
          "--log-level",
          "error",
        ],
        { stdio: "ignore" },
      ),
    );
    await eventually(() => new Docker({ socketPath: socket }).ping().then(() => true), { timeoutMs: 30_000, everyMs: 100 });
  }

  async stopDaemon(): Promise<void> {
    const daemon = this.#daemon;
    this.#daemon = undefined;
    if (daemon === undefined || daemon.exitCode !== null) return;
    daemon.kill("SIGTERM");
    await once(daemon, "exit");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#daemon !== undefined) {
      const docker = new Docker({ socketPath: this.socket });
      for (const { Id } of await docker.listContainers({ all: true }).catch(() => []))
        await docker
          .getContainer(Id)
          .remove({ force: true, v: true })
          .catch(() => {});
      await docker.pruneNetworks().catch(() => {});
    }
    await this.stopDaemon();
    spawnSync("ip", ["link", "del", this.#bridge]);
    rmSync(this.#folder, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 });
  }
}

function run(command: string, args: readonly string[]): void {
  const { status, stderr } = spawnSync(command, args, { encoding: "utf8" });
  if (status !== 0) throw new Error(`${command} ${args.join(" ")}: ${stderr}`);
}
