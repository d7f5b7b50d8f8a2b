import { eventually } from "../../common/testing/eventually.ts";
import type { FaultProxy } from "./fault-proxy.ts";
import { Program } from "./program.ts";

/** How long a process may take until it is ready, on a machine that is busy with others. */
const READY_MS = 120_000;

export type Part = "manager" | "gateway" | "reporter";

export type MemberOptions = Readonly<{
  part: Part;
  name: string;
  /** gRPC of a manager, HTTP of a gateway. */
  port: number;
  metricsPort: number;
  env: Readonly<Record<string, string>>;
  /** In front of the backends, where the cluster is proxied. */
  proxies?: Readonly<{ cassandra: FaultProxy; redis: FaultProxy }> | undefined;
  wrapper?: readonly string[];
  /** The `nebula` of another tree. */
  file?: string | undefined;
}>;

/** One process of a cluster. A member can be killed, stopped and started again under the same name and on the same ports. */
export class Member implements AsyncDisposable {
  #options: MemberOptions;
  #program: Program;

  constructor(options: MemberOptions) {
    this.#options = options;
    this.#program = this.#launch();
  }

  get name(): string {
    return this.#options.name;
  }

  /** host:port of its API. */
  get address(): string {
    return `127.0.0.1:${this.#options.port}`;
  }

  get port(): number {
    return this.#options.port;
  }

  /** host:port of its /metrics, /healthz and /readyz. */
  get metricsAddress(): string {
    return `127.0.0.1:${this.#options.metricsPort}`;
  }

  get proxies(): Readonly<{ cassandra: FaultProxy; redis: FaultProxy }> {
    if (this.#options.proxies === undefined) throw new Error("the cluster is not proxied");
    return this.#options.proxies;
  }

  get program(): Program {
    return this.#program;
  }

  /** Resolves when /readyz names nothing that is missing. */
  async ready(timeoutMs = READY_MS): Promise<void> {
    const program = this.#program;
    await eventually(async () => program.ended || (await this.missing()).length === 0, { timeoutMs, everyMs: 100 }).catch((error) => {
      throw new Error(`${this.name} is not ready:\n${program.output.slice(-4000)}`, { cause: error });
    });
    if (program.ended) throw new Error(`${this.name} ended:\n${program.output.slice(-4000)}`);
  }

  /** The parts that /readyz names as not ready. Rejects where nothing answers. */
  async missing(): Promise<readonly string[]> {
    const response = await fetch(`http://127.0.0.1:${this.#options.metricsPort}/readyz`, { signal: AbortSignal.timeout(5000) });
    const text = await response.text();
    return response.ok ? [] : JSON.parse(text).not_ready;
  }

  /** The sum of a metric over its labels, of those with all of `labels`; 0 if no sample has them. */
  async metric(name: string, labels: Readonly<Record<string, string>> = {}): Promise<number> {
    const response = await fetch(`http://127.0.0.1:${this.#options.metricsPort}/metrics`, { signal: AbortSignal.timeout(5000) });
    const wanted = Object.entries(labels).map(([label, value]) => `${label}="${value}"`);
    const values = (await response.text()).split("\n").flatMap((line) => {
      const [, of, inBraces = "", value] = /^([a-zA-Z0-9_:]+)(?:\{(.*)\})? (\S+)$/.exec(line) ?? [];
      return of === name && wanted.every((label) => inBraces.includes(label)) ? [Number(value)] : [];
    });
    return values.reduce((sum, value) => sum + value, 0);
  }

  /** Starts it again, after it ended, with more settings where given: those are for this time alone. */
  launch(env: Readonly<Record<string, string>> = {}): void {
    this.#program = this.#launch(env);
  }

  /**
   * Stops it as an operator would, and starts another program in its place; resolves when that is ready.
   * @param file the `nebula` of another tree; absent: this tree's
   */
  async replace(file?: string): Promise<void> {
    const code = await this.#program.stop();
    if (code !== 0) throw new Error(`${this.name} ended with ${code}:\n${this.#program.output.slice(-4000)}`);
    this.#options = { ...this.#options, file };
    this.launch();
    await this.ready();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#program.kill();
    await this.#options.proxies?.cassandra[Symbol.asyncDispose]();
    await this.#options.proxies?.redis[Symbol.asyncDispose]();
  }

  #launch(more: Readonly<Record<string, string>> = {}): Program {
    const { part, env, wrapper = [], file } = this.#options;
    return new Program([part], { env: { ...env, ...more }, wrapper, ...(file === undefined ? {} : { file }) });
  }
}
