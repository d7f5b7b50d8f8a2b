import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { eventually } from "../../common/testing/eventually.ts";
import { freePort } from "../../common/testing/free-port.ts";
import { Api } from "./api.ts";
import { Program } from "./program.ts";

export type ServerOptions = Readonly<{ env?: Readonly<Record<string, string>>; dataDir?: string }>;

/** `nebula server` with a data folder and ports of its own. It can be stopped, killed and started again on the same ports and data. */
export class Server implements AsyncDisposable {
  readonly dataDir: string;
  readonly httpPort: number;
  readonly grpcPort: number;
  readonly #env: Readonly<Record<string, string>>;
  readonly #ownsData: boolean;
  #program: Program;
  #api: Api | undefined;

  private constructor(dataDir: string, ownsData: boolean, ports: { http: number; grpc: number }, env: Readonly<Record<string, string>>) {
    this.dataDir = dataDir;
    this.#ownsData = ownsData;
    this.httpPort = ports.http;
    this.grpcPort = ports.grpc;
    this.#env = env;
    this.#program = this.#launch();
  }

  static async start({ env = {}, dataDir }: ServerOptions = {}): Promise<Server> {
    const folder = dataDir ?? (await mkdtemp(join(tmpdir(), "nebula-e2e-server-")));
    const server = new Server(folder, dataDir === undefined, { http: await freePort(), grpc: await freePort() }, env);
    await server.#ready();
    return server;
  }

  get url(): string {
    return `http://127.0.0.1:${this.httpPort}`;
  }

  get grpcUrl(): string {
    return `grpc://127.0.0.1:${this.grpcPort}`;
  }

  /** The program that runs now. */
  get program(): Program {
    return this.#program;
  }

  /** Calls to it as the local admin. */
  get api(): Api {
    if (this.#api === undefined) throw new Error("the server is not ready");
    return this.#api;
  }

  get password(): string {
    return this.api.password;
  }

  /** Stops it as an operator would. */
  async stop(): Promise<void> {
    this.#api?.[Symbol.dispose]();
    this.#api = undefined;
    const code = await this.#program.stop();
    if (code !== 0) throw new Error(`the server ended with ${code}:\n${this.#program.output}`);
  }

  async kill(): Promise<void> {
    this.#api?.[Symbol.dispose]();
    this.#api = undefined;
    await this.#program.kill();
  }

  /** Starts it again, on the same ports and data. */
  async startAgain(): Promise<void> {
    this.#program = this.#launch();
    await this.#ready();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
    if (this.#ownsData) await rm(this.dataDir, { recursive: true, force: true });
  }

  #launch(): Program {
    return new Program(["server"], {
      env: {
        NEBULA_DATA: this.dataDir,
        NEBULA_HTTP_LISTEN: `127.0.0.1:${this.httpPort}`,
        NEBULA_GRPC_LISTEN: `127.0.0.1:${this.grpcPort}`,
        NEBULA_METRICS_LISTEN: "off",
        ...this.#env,
      },
    });
  }

  async #ready(): Promise<void> {
    const program = this.#program;
    await eventually(async () => program.ended || (await fetch(`${this.url}/healthz`)).ok, { timeoutMs: 20_000, everyMs: 50 });
    if (program.ended) throw new Error(`the server ended:\n${program.output}`);
    const password = this.#env.NEBULA_ADMIN_PASSWORD ?? (await readFile(join(this.dataDir, "admin-password"), "utf8")).trim();
    this.#api = new Api(`127.0.0.1:${this.grpcPort}`, password);
  }
}
