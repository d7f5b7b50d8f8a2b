import { systemClock } from "../../../../common/clock/system-clock.ts";
import { messageOf } from "../../../../common/errors/nebula-error.ts";
import type { Log } from "../../../../common/log/log.ts";
import type { ContainerRuntime } from "../../../../worker/runtime/container-runtime.ts";
import { openDockerRuntime } from "../../../../worker/runtime/docker/docker.ts";

const SOCKET_URL = "docker:///var/run/docker.sock";
/** Limits of an answer of the engine, and of a pull, milliseconds. */
const ANSWER_MS = 3000;
const PULL_MS = 20_000;

export type EngineAnswer = Readonly<{ kind: "open"; engine: DemoEngine } | { kind: "absent"; reason: string }>;

/** The Docker Engine of this machine, with the calls that the demo needs. */
export class DemoEngine implements AsyncDisposable {
  readonly runtime: ContainerRuntime;
  readonly version: string;

  private constructor(runtime: ContainerRuntime, version: string) {
    this.runtime = runtime;
    this.version = version;
  }

  /** Opens the engine and pulls the images that are missing. */
  static async open({ images, log, signal }: { images: readonly string[]; log: Log; signal: AbortSignal }): Promise<EngineAnswer> {
    let runtime: ContainerRuntime;
    try {
      runtime = await openDockerRuntime({ url: SOCKET_URL, clock: systemClock, log });
    } catch (error) {
      return { kind: "absent", reason: `no Docker Engine answers here (${messageOf(error)})` };
    }
    try {
      const { engineVersion } = await runtime.info(AbortSignal.any([signal, AbortSignal.timeout(ANSWER_MS)]));
      for (const image of images) {
        if ((await runtime.inspectImage(image, signal)) !== undefined) continue;
        await runtime.pull(image, { login: undefined, onLine: () => {}, signal: AbortSignal.any([signal, AbortSignal.timeout(PULL_MS)]) });
      }
      return { kind: "open", engine: new DemoEngine(runtime, engineVersion) };
    } catch (error) {
      await runtime[Symbol.asyncDispose]();
      return { kind: "absent", reason: `this machine's Docker Engine, or one of its images, can't be used (${messageOf(error)})` };
    }
  }

  /** Lists the containers of an instance, one line each. */
  async list(instance: string): Promise<string[]> {
    const own = await this.#containersOf(instance);
    return own.map(({ name, image, phase }) => `${name}  ${image}  ${phase}`).sort();
  }

  /** Removes every container of an instance. */
  async clean(instance: string): Promise<void> {
    const signal = AbortSignal.timeout(30_000);
    for (const { id } of await this.#containersOf(instance)) await this.runtime.remove(id, { force: true }, signal);
  }

  async #containersOf(instance: string) {
    const containers = await this.runtime.listContainers(AbortSignal.timeout(30_000));
    return containers.filter(({ labels }) => labels["nebula.instance"] === instance);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.runtime[Symbol.asyncDispose]();
  }
}
