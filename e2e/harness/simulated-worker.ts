import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Program } from "./program.ts";

export type SimulatedWorkerOptions = Readonly<{
  /** NEBULA_SERVER. */
  server: string;
  deviceId: string;
  enrollToken?: string;
  /** The `nebula` of another tree. */
  file?: string | undefined;
  env?: Readonly<Record<string, string>>;
}>;

/** `nebula worker` on an engine that only pretends, with a data folder of its own: for what is about the device and its server. */
export class SimulatedWorker implements AsyncDisposable {
  readonly dataDir = mkdtempSync(join(tmpdir(), "nebula-e2e-simulated-"));
  #options: SimulatedWorkerOptions;
  #program: Program;
  /** The output of its earlier programs. */
  #before = "";

  constructor(options: SimulatedWorkerOptions) {
    this.#options = options;
    this.#program = this.#launch();
  }

  get program(): Program {
    return this.#program;
  }

  /** All that it ever printed. */
  get output(): string {
    return this.#before + this.#program.output;
  }

  /** The secrets of its token file: that of the token in use first. */
  get secrets(): readonly string[] {
    const { token } = JSON.parse(readFileSync(join(this.dataDir, "device-token.json"), "utf8"));
    return [token.confirmed?.token, token.pending?.secret].filter((secret) => typeof secret === "string");
  }

  /** Kills it, and starts it again with the same data, with other settings where given. */
  async startAgain(changes: Partial<SimulatedWorkerOptions> = {}): Promise<void> {
    await this.#program.kill();
    this.#before += this.#program.output;
    this.#options = { ...this.#options, ...changes };
    this.#program = this.#launch();
  }

  /**
   * Kills it, and starts it again with a token that seems so old that it is rotated at once; resolves when the next one is in use. The token from before keeps its
   * age: the device rotates it again if it has to return to it.
   */
  async rotateToken(): Promise<void> {
    await this.#program.kill();
    const file = join(this.dataDir, "device-token.json");
    const kept = JSON.parse(readFileSync(file, "utf8"));
    kept.token.confirmed.since = 0;
    writeFileSync(file, JSON.stringify(kept));
    await this.startAgain();
    await this.#program.printed(/the device's token is rotated/, 60_000);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#program.kill();
    rmSync(this.dataDir, { recursive: true, force: true });
  }

  #launch(): Program {
    const { server, deviceId, enrollToken, file, env = {} } = this.#options;
    return new Program(["worker"], {
      ...(file === undefined ? {} : { file }),
      env: {
        NEBULA_SERVER: server,
        NEBULA_DEVICE_ID: deviceId,
        NEBULA_WORKER_DATA: this.dataDir,
        NEBULA_RUNTIME: "simulated:",
        ...(enrollToken === undefined ? {} : { NEBULA_ENROLL_TOKEN: enrollToken }),
        ...env,
      },
    });
  }
}
