import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Engine, newInstance } from "./engine.ts";
import { Program } from "./program.ts";
import type { Server } from "./server.ts";

export type WorkerOptions = Readonly<{
  server: Pick<Server, "grpcUrl" | "password">;
  deviceGroup: string;
  deviceId?: string;
  instance?: string;
  dataDir?: string;
  /** Socket of the Docker Engine; the machine's where absent. */
  socket?: string;
  env?: Readonly<Record<string, string>>;
}>;

/** `nebula worker` on the local engine under an instance of its own. The worker can be stopped, killed and started again with the same data. */
export class Worker implements AsyncDisposable {
  readonly engine: Engine;
  readonly deviceId: string;
  readonly dataDir: string;
  readonly #ownsData: boolean;
  #options: WorkerOptions;
  #program: Program;

  private constructor(options: WorkerOptions, dataDir: string) {
    this.#options = options;
    const instance = options.instance ?? newInstance();
    if (instance === "main" && options.socket === undefined)
      throw new Error("instance main takes over what the original runs: only on an engine of the test's own");
    this.engine = new Engine(instance, options.socket);
    this.deviceId = options.deviceId ?? `device-${instance}`;
    this.dataDir = dataDir;
    this.#ownsData = options.dataDir === undefined;
    this.#program = this.#launch();
  }

  static async start(options: WorkerOptions): Promise<Worker> {
    return new Worker(options, options.dataDir ?? (await mkdtemp(join(tmpdir(), "nebula-e2e-worker-"))));
  }

  get program(): Program {
    return this.#program;
  }

  stop(): Promise<number | null> {
    return this.#program.stop();
  }

  kill(): Promise<void> {
    return this.#program.kill();
  }

  /** Starts it again with the same data, with other settings where given. */
  startAgain(changes: Partial<Pick<WorkerOptions, "server" | "deviceGroup" | "env">> = {}): void {
    this.#options = { ...this.#options, ...changes };
    this.#program = this.#launch();
  }

  /** Kills the worker and removes what it ran. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#program.kill();
    await this.engine.clean();
    if (this.#ownsData) await rm(this.dataDir, { recursive: true, force: true });
  }

  #launch(): Program {
    const { server, deviceGroup, socket, env = {} } = this.#options;
    return new Program(["worker"], {
      env: {
        NEBULA_SERVER: server.grpcUrl,
        NEBULA_USER: "admin",
        NEBULA_PASSWORD: server.password,
        NEBULA_DEVICE_GROUP: deviceGroup,
        NEBULA_DEVICE_ID: this.deviceId,
        NEBULA_INSTANCE: this.engine.instance,
        NEBULA_WORKER_DATA: this.dataDir,
        NEBULA_ADOPT: "false",
        ...(socket === undefined ? {} : { NEBULA_RUNTIME: `docker://${socket}` }),
        ...env,
      },
    });
  }
}
