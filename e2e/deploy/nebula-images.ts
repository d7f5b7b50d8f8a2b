import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { writePackage } from "../../cli/build/write-package.ts";
import { DOCKER_SOCKET } from "../../common/testing/require-docker.ts";
import { IMAGE } from "../harness/engine.ts";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));
/** Where the package is made: its commands are here. */
export const DIST = join(ROOT, "dist");

/** The base of the images in tests: busybox, and the Node of this run with its libraries. */
export const BASE = "nebula-test/node:26";

export type Target = "server" | "worker" | "nebulactl";

let built: Promise<unknown> | undefined;

/** Makes dist/ once a run, as `npm run build` does, and the base of the images on an engine. */
export async function prepareImages(socket = DOCKER_SOCKET): Promise<void> {
  built ??= writePackage(DIST);
  await built;
  if (!existsSync(join(ROOT, "deploy/lib/libjemalloc.so.2"))) run(join(ROOT, "deploy/get-libjemalloc"), []);
  const folder = await mkdtemp(join(tmpdir(), "nebula-base-"));
  try {
    await writeFile(join(folder, "Dockerfile"), `FROM ${IMAGE}\nCOPY . /\nENV PATH=/usr/local/bin:/bin\nCMD ["node"]\n`);
    const node = process.execPath;
    // "	libm.so.6 => /lib/x86_64-linux-gnu/libm.so.6 (0x...)", "	/lib64/ld-linux-x86-64.so.2 (0x...)"
    const libraries = [...run("ldd", [node]).matchAll(/^\s(?:\S+ => )?\/(\S+) \(/gm)].map(([, path = ""]) => path);
    const files = `-C "${folder}" Dockerfile -C "${dirname(node)}" ${basename(node)} -C / ${libraries.join(" ")}`;
    const archive = `tar -ch --transform 's,^${basename(node)}$,usr/local/bin/node,' ${files}`;
    run("bash", ["-o", "pipefail", "-c", `${archive} | docker -H "unix://${socket}" build -q -t ${BASE} -`], { DOCKER_BUILDKIT: "0" });
  } finally {
    await rm(folder, { recursive: true });
  }
}

export type BuildOptions = Readonly<{ socket?: string; docker?: string; buildkit?: boolean }>;

/** Builds one target of deploy/Dockerfile as an operator does, but without a network. */
export function buildImage(target: Target, tag: string, { socket = DOCKER_SOCKET, docker = "docker", buildkit = false }: BuildOptions = {}): void {
  const flags = ["-f", join(ROOT, "deploy/Dockerfile"), "--target", target, "--build-arg", `BASE=${BASE}`, "--network", "none", "-t", tag];
  run(docker, ["-H", `unix://${socket}`, "build", ...flags, ROOT], { DOCKER_BUILDKIT: buildkit ? "1" : "0" });
}

/** A Docker client that builds by BuildKit: the one of Docker 23 and newer needs a plugin for it. */
export function clientWithBuildkit(socket: string): string | undefined {
  return ["docker", "/usr/bin/docker"].find((docker) => {
    const probe = spawnSync(docker, ["-H", `unix://${socket}`, "build", "-q", "-"], {
      input: `FROM ${IMAGE}\nLABEL nebula.test=1\n`,
      env: { ...process.env, DOCKER_BUILDKIT: "1" },
    });
    return probe.status === 0;
  });
}

/** Runs a command to its end and answers its output. Throws with what it printed where it fails. */
export function run(command: string, args: readonly string[], env: Readonly<Record<string, string>> = {}): string {
  const { status, stdout, stderr, error } = spawnSync(command, args, { encoding: "utf8", env: { ...process.env, ...env }, maxBuffer: 64 * 2 ** 20 });
  if (status !== 0) throw new Error(`${command} ${args.join(" ")}:\n${stdout}${stderr}`, { cause: error });
  return stdout;
}
