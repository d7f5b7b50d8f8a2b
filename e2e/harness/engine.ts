import { spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import Docker from "dockerode";
import { mapLimited } from "../../common/map-limited.ts";
import { eventually } from "../../common/testing/eventually.ts";
import { DOCKER_SOCKET } from "../../common/testing/require-docker.ts";

/** The image of test apps: it has a shell, and nothing of it runs longer than its command says. */
export const IMAGE = "busybox:1";
/** A command that runs until it is stopped, stops at once, and costs nothing meanwhile, so that a hundred of them are no load. */
export const FOREVER = ["sh", "-c", "trap 'exit 0' TERM; sleep 1000000 & wait"];

/** A label that keeps the containers of one test apart from all others. */
export function newInstance(): string {
  return `e2e${randomBytes(4).toString("hex")}`;
}

/** A test's view of one instance's containers on a Docker Engine. */
export class Engine {
  readonly docker: Docker;
  readonly instance: string;
  readonly #socket: string;

  constructor(instance: string, socketPath = DOCKER_SOCKET) {
    this.instance = instance;
    this.#socket = socketPath;
    this.docker = new Docker({ socketPath });
  }

  /** The instance's containers, running or not, by name; `app` alone where given. */
  async containers(app?: string): Promise<Docker.ContainerInspectInfo[]> {
    const label = [`nebula.instance=${this.instance}`, ...(app === undefined ? [] : [`app_name=${app}`])];
    const listed = await this.docker.listContainers({ all: true, filters: { label } });
    const inspected = await Promise.all(listed.map(({ Id }) => this.docker.getContainer(Id).inspect().catch(gone)));
    return inspected.filter((info) => info !== undefined).sort((a, b) => (a.Name < b.Name ? -1 : 1));
  }

  async running(app?: string): Promise<Docker.ContainerInspectInfo[]> {
    return (await this.containers(app)).filter(({ State }) => State.Running);
  }

  /** Waits until exactly `count` containers of the app run, none besides is left, and each satisfies `holds`; answers them. */
  async settled(
    app: string,
    count: number,
    holds: (info: Docker.ContainerInspectInfo) => boolean = () => true,
    timeoutMs = 30_000,
  ): Promise<Docker.ContainerInspectInfo[]> {
    let seen: Docker.ContainerInspectInfo[] = [];
    const wanted = async () => {
      seen = await this.containers(app);
      return seen.length === count && seen.every((info) => info.State.Running && holds(info)) ? seen : false;
    };
    return eventually(wanted, { timeoutMs, everyMs: 50 }).then(
      () => seen,
      (error) => {
        const shown = seen.map(({ Name, State, Config }) => `${Name} ${State.Status} ${Config.Image} ${JSON.stringify(Config.Env)}`);
        throw new Error(`${app}: not ${count} as wanted, but:\n${shown.join("\n")}`, { cause: error });
      },
    );
  }

  /** Runs a command in a container; answers its exit code. */
  async exec(container: string, command: string[]): Promise<number | null> {
    const exec = await this.docker.getContainer(container).exec({ Cmd: command, AttachStdout: true, AttachStderr: true });
    const output = await exec.start({});
    output.resume();
    await once(output, "end");
    return (await exec.inspect()).ExitCode;
  }

  /** Whether it may run privileged containers: one that is itself confined may not. */
  async runsPrivileged(): Promise<boolean> {
    const probe = await this.docker.createContainer({ Image: IMAGE, Cmd: ["true"], HostConfig: { Privileged: true } });
    try {
      return await probe.start().then(
        () => true,
        () => false,
      );
    } finally {
      await probe.remove({ force: true });
    }
  }

  /** Removes every container of the instance, volumes included. */
  async clean(): Promise<void> {
    const remove = ({ Id }: Docker.ContainerInspectInfo) => this.docker.getContainer(Id).remove({ force: true, v: true }).catch(gone);
    // a worker that was killed may have asked the engine for one that comes only now
    for (let left = await this.containers(); left.length > 0; left = await this.containers()) await mapLimited(left, 8, remove);
  }

  /** Builds an image of busybox with these lines added. */
  async build(tag: string, dockerfile: string): Promise<void> {
    const build = spawnSync("docker", ["-H", `unix://${this.#socket}`, "build", "-q", "-t", tag, "-"], {
      input: `FROM ${IMAGE}\n${dockerfile}\n`,
      encoding: "utf8",
      env: { ...process.env, DOCKER_BUILDKIT: "0" },
    });
    if (build.status !== 0) throw new Error(build.stderr);
  }
}

function gone(error: unknown): undefined {
  if (error instanceof Error && "statusCode" in error && (error.statusCode === 404 || error.statusCode === 409)) return undefined;
  throw error;
}

/** The host port that a container's port is bound to; undefined: none. */
export function hostPort(info: Docker.ContainerInspectInfo, port: string): number | undefined {
  const bound = info.HostConfig.PortBindings as Record<string, { HostPort: string }[]> | null;
  const text = bound?.[port]?.[0]?.HostPort;
  return text === undefined ? undefined : Number(text);
}
