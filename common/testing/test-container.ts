import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import Docker from "dockerode";
import { GenericContainer, type StartedTestContainer, Wait } from "testcontainers";
import { eventually } from "./eventually.ts";
import { DOCKER_SOCKET } from "./require-docker.ts";

export type TestContainerSpec = Readonly<{
  image: string;
  /** The port that answers when the server is ready: the same inside and outside of the container, and the same after a restart. */
  port: number;
  /** The port inside, where the server takes no other. */
  insidePort?: number;
  /** More ports, each the same inside and outside. */
  morePorts?: readonly number[];
  /** For a container without a network of its own: its server listens on this address of the machine. */
  hostAddress?: string;
  env?: Readonly<Record<string, string>>;
  /** In place of the image's own. */
  entrypoint?: readonly string[];
  command?: readonly string[];
}>;

const LOOPBACK = "127.0.0.1";

/** Only a container that runs is listed by its removal, so a slow machine decides this one limit. */
const START_LIMIT_MS = 120_000;

/** A container that tests started: it can be killed, paused and started again on the same port, and is removed with them, also where they are killed. */
export class TestContainer implements AsyncDisposable {
  readonly port: number;
  readonly #spec: TestContainerSpec;
  readonly #started: StartedTestContainer;
  readonly #container: Docker.Container;
  readonly #forget: () => void;

  private constructor(spec: TestContainerSpec, started: StartedTestContainer, forget: () => void) {
    this.port = spec.port;
    this.#spec = spec;
    this.#started = started;
    this.#container = new Docker({ socketPath: DOCKER_SOCKET }).getContainer(started.getId());
    this.#forget = forget;
  }

  /** Starts a container; resolves when its port answers. Rejects with what it printed if it does not within two minutes. */
  static async start(spec: TestContainerSpec): Promise<TestContainer> {
    process.env.TESTCONTAINERS_RYUK_DISABLED ??= "true"; // `removeWithTests` does its work without an image of its own
    const name = `nebula-test-${randomBytes(6).toString("hex")}`;
    const forget = removeWithTests(name);
    let printed = "";
    try {
      const inside = spec.insidePort ?? spec.port;
      const container = new GenericContainer(spec.image);
      if (spec.entrypoint !== undefined) container.withEntrypoint([...spec.entrypoint]);
      if (spec.hostAddress !== undefined) container.withNetworkMode("host");
      else
        container.withExposedPorts(
          { container: inside, host: spec.port },
          ...(spec.morePorts ?? []).map((port) => ({ container: port, host: port })),
        );
      const started = await container
        .withName(name)
        .withEnvironment({ ...spec.env })
        .withCommand([...(spec.command ?? [])])
        .withStartupTimeout(START_LIMIT_MS)
        .withWaitStrategy(Wait.forSuccessfulCommand(listens(inside, spec.hostAddress)))
        .withLogConsumer((stream) =>
          stream.on("data", (text) => {
            printed = (printed + text).slice(-5000);
          }),
        )
        .start();
      return new TestContainer(spec, started, forget);
    } catch (error) {
      await removeLeftover(name);
      forget();
      throw new Error(`no server of ${spec.image} came up; it printed:\n${printed}`, { cause: error });
    }
  }

  get address(): string {
    return `${this.#spec.hostAddress ?? LOOPBACK}:${this.port}`;
  }

  /** Everything that it printed since it was made. */
  async printed(): Promise<string> {
    return (await this.#container.logs({ stdout: true, stderr: true, follow: false })).toString("utf8");
  }

  /** Ends the server's process at once; its data stays. */
  async kill(): Promise<void> {
    await this.#container.kill();
  }

  /** Starts it again with its data, on the same port, if it does not run; resolves when that answers. */
  async startAgain(): Promise<void> {
    if (!(await this.#container.inspect()).State.Running) await this.#container.start();
    await this.listens(this.#spec.insidePort ?? this.#spec.port);
  }

  /** Resolves when something in it listens on this port. */
  async listens(port: number): Promise<void> {
    await eventually(() => this.run(listens(port, this.#spec.hostAddress)), { timeoutMs: START_LIMIT_MS, everyMs: 200 });
  }

  /** Runs a command of bash in it; answers what that printed. Rejects where it failed. */
  async run(command: string): Promise<string> {
    const { exitCode, output } = await this.#started.exec(["bash", "-c", command]);
    if (exitCode !== 0) throw new Error(`${command} ended with ${exitCode}: ${output}`);
    return output;
  }

  /** Stops its process in its tracks: connections stay open, and nothing is answered. */
  async pause(): Promise<void> {
    await this.#container.pause();
  }

  /** Has it go on, if it is paused. */
  async unpause(): Promise<void> {
    if ((await this.#container.inspect()).State.Paused) await this.#container.unpause();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#container.remove({ force: true, v: true });
    this.#forget();
  }
}

/** Removes what a start that failed left behind: testcontainers leaves a container that Docker made and could not start. */
async function removeLeftover(name: string): Promise<void> {
  await new Docker({ socketPath: DOCKER_SOCKET })
    .getContainer(name)
    .remove({ force: true, v: true })
    .catch(() => {}); // it was not made, or its removal is under way
}

function listens(port: number, address = LOOPBACK): string {
  return `bash -c 'exec 3<>/dev/tcp/${address}/${port}'`;
}

/** Has a container removed when this process ends, however it ends: a shell of its own waits for the end of a pipe. Answers how to call that off. */
function removeWithTests(name: string): () => void {
  const watcher = spawn("sh", ["-c", 'read -r word; [ "$word" = forget ] || docker rm -fv "$0"', name], {
    detached: true, // a signal to the tests' group leaves it to its work
    stdio: ["pipe", "ignore", "ignore"],
  });
  watcher.unref();
  const { stdin } = watcher;
  if ("unref" in stdin && typeof stdin.unref === "function") stdin.unref();
  stdin.on("error", () => {}); // it ended by itself
  return () => stdin.end("forget\n");
}
