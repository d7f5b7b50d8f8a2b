import { type ChildProcess, execFile, fork } from "node:child_process";
import { once } from "node:events";
import { mkdir, mkdtemp, readFile, rm, symlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { endWithTests } from "../../common/testing/end-with-tests.ts";
import type { Acknowledged, DeviceNow } from "./device-record.ts";
import type { FleetAnswer, FleetCommand, FleetDevice } from "./fleet-protocol.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const run = promisify(execFile);
const PROGRAM = fileURLToPath(new URL("fleet-process.ts", import.meta.url));
/** The last commit on which a server was one process with its own files: its worker has only ever met one manager. */
export const RELEASE_BEFORE_SHARDS = "8a52dc75ab962dd0eaa391c65480cca6382b5c5c";
/** How long a process may take to answer, milliseconds. */
const ANSWER_MS = 60_000;

export type FleetSeen = Readonly<{
  devices: readonly DeviceNow[];
  flaws: readonly string[];
  connects: number;
  /** The address that a device connected to last, by its id. */
  servedBy: ReadonlyMap<string, string>;
}>;

export type FleetPart = Readonly<{
  /** NEBULA_SERVER */
  server: string;
  devices: readonly FleetDevice[];
  processes: number;
  /** The devices run the worker of the release before shards, in place of this tree's. */
  earlier?: true;
}>;

/** Workers on simulated engines, in several processes. */
export class Fleet implements AsyncDisposable {
  /** All reports that the server acknowledged, as far as they were looked at. */
  readonly acknowledged: Acknowledged[] = [];
  readonly #folder: string;
  readonly #processes: ChildProcess[] = [];

  private constructor(folder: string) {
    this.#folder = folder;
  }

  static async start(part: FleetPart): Promise<Fleet> {
    await using opening = new AsyncDisposableStack();
    const fleet = opening.use(new Fleet(await mkdtemp(join(tmpdir(), "nebula-fleet-"))));
    await fleet.add(part);
    opening.move();
    return fleet;
  }

  /** Starts workers in processes of their own; each enrols by itself. */
  async add({ server, devices, processes, earlier: isEarlier }: FleetPart): Promise<void> {
    const folder = this.#folder;
    const earlier = isEarlier === undefined ? undefined : await extractTree(RELEASE_BEFORE_SHARDS, join(folder, RELEASE_BEFORE_SHARDS));
    const children = Array.from({ length: processes }, () =>
      endWithTests(fork(PROGRAM, { serialization: "advanced", stdio: ["ignore", "inherit", "inherit", "ipc"] })),
    );
    this.#processes.push(...children);
    await Promise.all(
      children.map((child, i) =>
        ask(child, { kind: "start", earlier, server, folder, devices: devices.filter((_, index) => index % processes === i) }),
      ),
    );
  }

  /** How all devices are now; a config that two of them got differently under one etag is a flaw. */
  async look(): Promise<FleetSeen> {
    const seen = await Promise.all(
      this.#processes.map(async (child) => {
        const answer = await ask(child, { kind: "look" });
        if (answer.kind !== "seen") throw new Error(`a process of the fleet answered ${answer.kind}`);
        return answer;
      }),
    );
    const flaws = seen.flatMap((each) => each.flaws);
    const digests = new Map<string, string>();
    for (const [etag, digest] of seen.flatMap((each) => [...each.digests])) {
      if ((digests.get(etag) ?? digest) !== digest) flaws.push(`two devices got different configs with the etag ${etag}`);
      digests.set(etag, digest);
    }
    for (const each of seen) this.acknowledged.push(...each.acknowledged);
    return {
      devices: seen.flatMap((each) => each.devices),
      flaws,
      connects: seen.reduce((sum, each) => sum + each.connects, 0),
      servedBy: new Map(seen.flatMap((each) => [...each.servedBy])),
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const child of this.#processes) {
      if (child.exitCode !== null || child.signalCode !== null) continue;
      child.kill("SIGKILL");
      await once(child, "exit");
    }
    await rm(this.#folder, { recursive: true, force: true });
  }
}

async function ask(child: ChildProcess, command: FleetCommand): Promise<FleetAnswer> {
  const answered = new AbortController();
  const signal = AbortSignal.any([AbortSignal.timeout(ANSWER_MS), answered.signal]);
  try {
    const ended = once(child, "exit", { signal }).then(([code, by]) => {
      throw new Error(`a process of the fleet ended with ${code ?? by}`);
    });
    child.send(command);
    const [answer]: FleetAnswer[] = await Promise.race([once(child, "message", { signal }), ended]);
    if (answer === undefined || answer.kind === "failed") throw new Error(`the fleet can't ${command.kind}: ${answer?.reason}`);
    return answer;
  } finally {
    answered.abort();
  }
}

/**
 * Puts the files of an earlier commit of this repository into a new folder, with this tree's packages: its programs run from there. Answers the folder.
 * Rejects where this clone lacks the commit, or where a package that the commit depends on is installed in another version.
 */
export async function extractTree(commit: string, folder: string): Promise<string> {
  await run("git", ["rev-parse", "--verify", "--quiet", `${commit}^{commit}`], { cwd: ROOT }).catch((cause) => {
    throw new Error(`commit "${commit}" is not in this clone: a shallow one lacks it; use git fetch --unshallow`, { cause });
  });
  await mkdir(folder);
  const archive = `${folder}.tar`;
  await run("git", ["archive", "--format=tar", `--output=${archive}`, commit], { cwd: ROOT });
  await run("tar", ["--extract", "--file", archive, "--directory", folder]);
  await rm(archive);
  await assertDependencies(commit, folder);
  await symlink(join(ROOT, "node_modules"), join(folder, "node_modules"));
  return folder;
}

async function assertDependencies(commit: string, folder: string): Promise<void> {
  const { dependencies }: { dependencies: Readonly<Record<string, string>> } = JSON.parse(await readFile(join(folder, "package.json"), "utf8"));
  for (const [name, version] of Object.entries(dependencies)) {
    const installed = JSON.parse(await readFile(join(ROOT, "node_modules", name, "package.json"), "utf8"));
    if (installed.version !== version) throw new Error(`commit "${commit}" needs ${name} ${version}, and ${installed.version} is installed`);
  }
}
