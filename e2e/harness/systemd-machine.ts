import { strict as assert } from "node:assert";
import { type ChildProcess, type ChildProcessWithoutNullStreams, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { endWithTests } from "../../common/testing/end-with-tests.ts";
import { eventually } from "../../common/testing/eventually.ts";

/**
 * This machine's files with a layer in memory over them, in which what is written stays until the end: /usr, /etc and
 * /var are the machine's own. /tmp is that of the tests, on the disk.
 */
const LAYER = `
mount -t tmpfs tmpfs "$0"
mkdir "$0/upper" "$0/work" "$0/root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$0/upper,workdir=$0/work" "$0/root"
mount --rbind /dev "$0/root/dev"
mount --bind /tmp "$0/root/tmp"
echo ready
exec sleep infinity`;

/** Puts itself into a control group of its own, then starts systemd as the first process of a namespace. */
const BOOT = `
group=$2
mkdir -p "$group"
echo $$ >"$group/cgroup.procs"
exec unshare --mount --pid --fork --uts --ipc --cgroup --kill-child bash -euc '
  mount -t proc proc "$0/proc"
  mount -t sysfs sysfs "$0/sys"
  mount -t tmpfs tmpfs "$0/run"
  ln -s "$1/docker.sock" "$0/run/docker.sock"
  if [ -e /sys/fs/cgroup/cgroup.controllers ]; then
    mount -t cgroup2 cgroup2 "$0/sys/fs/cgroup"
  else
    mount -t tmpfs tmpfs "$0/sys/fs/cgroup"
    mkdir "$0/sys/fs/cgroup/systemd"
    mount -t cgroup -o none,name=systemd cgroup "$0/sys/fs/cgroup/systemd"
  fi
  exec chroot "$0" env -i container=docker SYSTEMD_UNIT_PATH=/etc/systemd/system PATH=/usr/sbin:/usr/bin:/sbin:/bin \\
    /lib/systemd/systemd --system --unit=multi-user.target --log-target=console --show-status=no' "$0" "$1"`;

/** All that it starts by itself: nothing of the machine's is started, since it shares the machine's kernel. */
const UNITS = `
rm -rf /etc/systemd/system && mkdir -p /etc/systemd/system && cd /etc/systemd/system
for target in sysinit basic multi-user network-online shutdown umount; do
  printf '[Unit]\\nDescription=%s\\nDefaultDependencies=no\\n' "$target" >"$target.target"
done
printf '[Service]\\nType=oneshot\\nRemainAfterExit=yes\\nExecStart=/bin/true\\n' >docker.service`;

/** Where systemd keeps its control groups: the hierarchy of its own, or the only one. */
const GROUPS = "/sys/fs/cgroup";

export type MachineOptions = Readonly<{
  /** A folder with the docker.sock that the machine has in /run. */
  engineFolder: string;
  /** Variables of every command. */
  env: Readonly<Record<string, string>>;
}>;

/** A machine of the test's own with systemd, and with the network and the kernel of this one. The machine can be switched off and on. */
export class SystemdMachine implements AsyncDisposable {
  readonly #folder = mkdtempSync(join(tmpdir(), "nebula-e2e-machine-"));
  readonly #options: MachineOptions;
  readonly #group: string;
  #holder: ChildProcess | undefined;
  #boot: ChildProcess | undefined;
  /** Process id of its systemd; undefined: it is off. */
  #init: number | undefined;

  private constructor(options: MachineOptions) {
    this.#options = options;
    const isUnified = spawnSync("test", ["-e", join(GROUPS, "cgroup.controllers")]).status === 0;
    this.#group = join(GROUPS, isUnified ? "" : "systemd", this.#folder.slice(this.#folder.lastIndexOf("/") + 1));
  }

  /** Skips the suite where it cannot run (not root, no systemd); under CI=true that is a failure. */
  static async start(context: Mocha.Context, options: MachineOptions): Promise<SystemdMachine> {
    if (process.getuid?.() !== 0 || spawnSync("/lib/systemd/systemd", ["--version"]).status !== 0) {
      if (process.env.CI === "true") throw new Error("systemd is missing (Debian: systemd), or the tests do not run as root");
      console.log("    (skipped: systemd is missing (Debian: systemd), or the tests do not run as root)");
      context.skip();
    }
    const machine = new SystemdMachine(options);
    const holder = endWithTests(spawn("unshare", ["--mount", "bash", "-euc", LAYER, machine.#folder], { stdio: ["ignore", "pipe", "pipe"] }));
    machine.#holder = holder;
    let said = "";
    for (const stream of [holder.stdout, holder.stderr]) stream.setEncoding("utf8").on("data", (text: string) => (said += text));
    await eventually(() => said.includes("ready") || holder.exitCode !== null, { timeoutMs: 10_000 });
    assert.equal(holder.exitCode, null, said);
    const { status, stderr } = spawnSync("nsenter", ["-t", String(holder.pid), "-m", "chroot", machine.#root, "bash", "-euc", UNITS]);
    assert.equal(status, 0, String(stderr));
    await machine.powerOn();
    return machine;
  }

  get #root(): string {
    return join(this.#folder, "root");
  }

  /** Resolves when what is enabled was started. */
  async powerOn(): Promise<void> {
    const args = ["-t", String(this.#holder?.pid), "-m", "bash", "-euc", BOOT, this.#root, this.#options.engineFolder, this.#group];
    const boot = endWithTests(spawn("nsenter", args, { stdio: ["ignore", "pipe", "pipe"] }));
    this.#boot = boot;
    let said = "";
    for (const stream of [boot.stdout, boot.stderr]) stream.setEncoding("utf8").on("data", (text: string) => (said += text));
    await eventually(
      () => {
        assert.equal(boot.exitCode, null, said);
        const [child] = readFileSync(`/proc/${boot.pid}/task/${boot.pid}/children`, "utf8").split(" ");
        if (child === undefined || readFileSync(`/proc/${child}/comm`, "utf8") !== "systemd\n") return false;
        this.#init = Number(child);
        return this.#spawnSync("systemctl is-active --quiet multi-user.target").status === 0;
      },
      { timeoutMs: 30_000, everyMs: 100 },
    );
  }

  /** At once, as a cut of the power does it. */
  async powerOff(): Promise<void> {
    const boot = this.#boot;
    if (this.#init === undefined || boot === undefined) return;
    process.kill(this.#init, "SIGKILL");
    this.#init = undefined;
    if (boot.exitCode === null && boot.signalCode === null) await once(boot, "exit");
  }

  /** Runs shell commands to their end, as root; answers what they printed. Throws with that where one fails. */
  run(commands: string, cwd = "/root", env: Readonly<Record<string, string>> = {}): string {
    const { status, stdout, stderr } = this.#spawnSync(commands, cwd, env);
    if (status !== 0) throw new Error(`${commands}:\n${stdout}${stderr}`);
    return stdout;
  }

  /** Starts shell commands that go on. */
  start(commands: string, cwd = "/root"): ChildProcessWithoutNullStreams {
    const [command, args] = this.#inside(commands, cwd, {});
    return endWithTests(spawn(command, args));
  }

  #spawnSync(commands: string, cwd = "/root", env: Readonly<Record<string, string>> = {}) {
    const [command, args] = this.#inside(commands, cwd, env);
    return spawnSync(command, args, { encoding: "utf8", maxBuffer: 64 * 2 ** 20 });
  }

  #inside(commands: string, cwd: string, env: Readonly<Record<string, string>>): [string, string[]] {
    const variables = Object.entries({ ...this.#options.env, HOME: "/root", ...env }).map(([name, value]) => `${name}=${value}`);
    const namespaces = ["-t", String(this.#init), "-m", "-p", "-u", "-i", "-C", "-r"];
    return ["nsenter", [...namespaces, "env", "-i", "-C", cwd, ...variables, "bash", "-euo", "pipefail", "-c", commands]];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.powerOff();
    const holder = this.#holder;
    if (holder !== undefined && holder.exitCode === null) {
      holder.kill("SIGKILL");
      await once(holder, "exit");
    }
    spawnSync("find", [this.#group, "-depth", "-type", "d", "-exec", "rmdir", "{}", ";"]);
    rmSync(this.#folder, { recursive: true, force: true });
  }
}
