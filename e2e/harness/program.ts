import { type ChildProcess, spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import { endWithTests } from "../../common/testing/end-with-tests.ts";
import { eventually } from "../../common/testing/eventually.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));

export type ProgramOptions = Readonly<{
  file?: string;
  env?: Readonly<Record<string, string>>;
  /** A command that runs the program in place of itself (exec), and its first arguments. */
  wrapper?: readonly string[];
}>;

/** A program of Nebula's in a process of its own, as an operator starts it. */
export class Program implements AsyncDisposable {
  readonly child: ChildProcess;
  readonly #closed: Promise<unknown>;
  #output = "";

  /** @param args what follows `nebula`, or `nebulactl` */
  constructor(args: readonly string[], { file = "cli/nebula.js", env = {}, wrapper = [] }: ProgramOptions = {}) {
    const [command = process.execPath, ...rest] = [...wrapper, process.execPath, file, ...args];
    this.child = endWithTests(spawn(command, rest, { cwd: ROOT, env: { ...cleanEnvironment(), ...env }, stdio: ["ignore", "pipe", "pipe"] }));
    this.#closed = new Promise((resolve) => this.child.once("close", resolve));
    for (const stream of [this.child.stdout, this.child.stderr]) {
      stream?.setEncoding("utf8");
      stream?.on("data", (text: string) => {
        this.#output = (this.#output + text).slice(-200_000);
      });
    }
  }

  /** The output of the program, standard output and error together, the newest 200,000 characters. */
  get output(): string {
    return this.#output;
  }

  get ended(): boolean {
    return this.child.exitCode !== null || this.child.signalCode !== null;
  }

  /** Waits for something in what it prints; says what it printed when it ends first. */
  async printed(pattern: RegExp, timeoutMs = 20_000): Promise<void> {
    await eventually(() => this.ended || pattern.test(this.#output), { timeoutMs }).catch((error) => {
      throw new Error(`nothing like ${pattern} in:\n${this.#output}`, { cause: error });
    });
    if (!pattern.test(this.#output)) throw new Error(`ended with ${this.child.exitCode ?? this.child.signalCode}:\n${this.#output}`);
  }

  /** Waits for its end, and for all that it printed; answers the exit code. */
  async exit(): Promise<number | null> {
    await this.#closed;
    return this.child.exitCode;
  }

  /** Stops it as an operator would; answers the exit code. */
  async stop(): Promise<number | null> {
    if (!this.ended) this.child.kill("SIGTERM");
    return this.exit();
  }

  async kill(): Promise<void> {
    if (!this.ended) this.child.kill("SIGKILL");
    await this.exit();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
  }
}

/** The environment without settings of Nebula's that the machine may have. */
function cleanEnvironment(): Record<string, string | undefined> {
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith("NEBULA_") || name === "NEBULA_TEST_LONG"));
}
