import { requireServers } from "../../common/testing/servers.ts";
import { Api } from "./api.ts";
import type { Program } from "./program.ts";
import { type ServerOptions, type ServerProcesses, startProcesses } from "./server-processes.ts";

/** How long a suite's server may take to start: a cluster makes its tables and topics before its processes. */
export const START_LIMIT_MS = 150_000;

/** A server with data and ports of its own. The server can be stopped, killed and started again on the same ports and data. */
export class Server implements AsyncDisposable {
  readonly #processes: ServerProcesses;
  #api: Api | undefined;

  private constructor(processes: ServerProcesses) {
    this.#processes = processes;
  }

  static async start(options: ServerOptions = {}): Promise<Server> {
    const server = new Server(await startProcesses(options));
    await server.#ready();
    return server;
  }

  /**
   * Starts one for the suite that is being described, and removes it after it; with `cluster`, one of several processes on Cassandra, Redis and Kafka in any run.
   * @param prepare what is done once it is up
   */
  static forSuite({ cluster = false, ...options }: ServerOptions & { cluster?: boolean }, prepare: (server: Server) => Promise<void> | void): void {
    let started: Server | undefined;
    before(async function () {
      this.timeout(START_LIMIT_MS);
      started = await Server.start(cluster ? { ...options, servers: await requireServers(this) } : options);
      await prepare(started);
    });
    after(() => started?.[Symbol.asyncDispose]());
  }

  get dataDir(): string {
    return this.#processes.dataDir;
  }

  get httpPort(): number {
    return this.#processes.httpPort;
  }

  get grpcPort(): number {
    return this.#processes.grpcPort;
  }

  /** Of each manager: of a cluster there are several. */
  get grpcPorts(): readonly number[] {
    return this.#processes.grpcPorts;
  }

  get url(): string {
    return `http://127.0.0.1:${this.httpPort}`;
  }

  get grpcUrl(): string {
    return `grpc://127.0.0.1:${this.grpcPort}`;
  }

  /** The program that runs now. */
  get program(): Program {
    return this.#processes.program;
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
    this.#closeApi();
    const code = await this.#processes.stop();
    if (code !== 0) throw new Error(`the server ended with ${code}:\n${this.program.output}`);
  }

  async kill(): Promise<void> {
    this.#closeApi();
    await this.#processes.kill();
  }

  /** Starts it again, on the same ports and data, as this tree's program. */
  async startAgain(): Promise<void> {
    this.#processes.launch();
    await this.#ready();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closeApi();
    await this.#processes[Symbol.asyncDispose]();
  }

  async #ready(): Promise<void> {
    this.#api = new Api(`127.0.0.1:${this.grpcPort}`, await this.#processes.ready());
  }

  #closeApi(): void {
    this.#api?.[Symbol.dispose]();
    this.#api = undefined;
  }
}
