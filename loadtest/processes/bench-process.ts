/**
 * A process that the bench starts: a server under measurement, or a part of the fleet.
 *
 * P1 The process never outlives the bench: it is killed when disposed of and when the bench is interrupted, and by the kernel when the bench's own
 *    process is gone.
 * P2 Its end, however it comes, rejects each wait for a message of it, at once and later, with its last words.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { NebulaError } from "../../common/errors/nebula-error.ts";
import { type ProcessFigures, processFigures } from "../measure/process-figures.ts";
import type { Processors } from "./processors.ts";

/** Flags of Node that the manager and the bare server run with (docs/performance.md says why). */
export const NODE_FLAGS: readonly string[] = ["--max-semi-space-size=16"];

export type BenchProcessOptions = Readonly<{
  /** The name of the process in errors. */
  name: string;
  command: readonly string[];
  processors: Processors;
  env?: Readonly<Record<string, string>>;
  /** Whether it speaks with the bench by messages; true unless given. A program that does not is spared the channel, which takes memory. */
  channel?: boolean;
  /** The bench's own life. */
  signal: AbortSignal;
}>;

/** How much of what a process says last is kept, characters. */
const LAST_WORDS = 2000;

export class BenchProcess implements AsyncDisposable {
  readonly #name: string;
  readonly #child: ChildProcess;
  readonly #signal: AbortSignal;
  readonly #kill = () => this.#child.kill("SIGKILL");
  readonly #waiting = new Set<{ onMessage(message: unknown): void; reject(error: Error): void }>();
  #lastWords = "";
  #end: Error | undefined;

  constructor({ name, command, processors, env = {}, channel = true, signal }: BenchProcessOptions) {
    this.#name = name;
    this.#signal = signal;
    const pinned = processors === undefined ? command : ["taskset", "-c", processors, ...command];
    // Node lets a process have as many open files as the system allows, and what it starts inherits that.
    this.#child = spawn("setpriv", ["--pdeathsig", "KILL", ...pinned], {
      stdio: channel ? ["ignore", "ignore", "pipe", "ipc"] : ["ignore", "ignore", "pipe"],
      serialization: "advanced",
      env: { ...withoutSettings(process.env), ...env },
    }); // P1
    this.#child.stderr?.setEncoding("utf8").on("data", (text: string) => {
      this.#lastWords = (this.#lastWords + text).slice(-LAST_WORDS);
    });
    this.#child.on("message", (message) => {
      for (const { onMessage } of [...this.#waiting]) onMessage(message);
    });
    this.#child.on("error", (error) => this.#ended(`could not be run (Debian: util-linux): ${error.message}`));
    this.#child.on("close", (code, killedBy) => this.#ended(`ended with ${code ?? killedBy}`));
    signal.addEventListener("abort", this.#kill, { once: true }); // P1
    if (signal.aborted) this.#kill();
  }

  #ended(how: string): void {
    if (this.#end !== undefined) return;
    this.#end = this.#signal.aborted
      ? new NebulaError("cancelled", "interrupted")
      : new NebulaError("unavailable", [`${this.#name} ${how}`, this.#lastWords.trim()].filter((text) => text !== "").join("\n"));
    for (const { reject } of this.#waiting) reject(this.#end); // P2
    this.#waiting.clear();
  }

  /** Returns the kernel's figures of the process. */
  figures(): ProcessFigures {
    if (this.#end !== undefined) throw this.#end;
    if (this.#child.pid === undefined) throw new NebulaError("unavailable", `${this.#name} has not been started`);
    return processFigures(this.#child.pid);
  }

  /** Rejects when the process has ended. */
  async send(message: object): Promise<void> {
    if (this.#end !== undefined) throw this.#end; // P2
    this.#child.send(message, () => {}); // an error here is followed by the process's end, which says more
  }

  /** The next message of the wanted kind; rejects when the process ends first. */
  next<T>(isWanted: (message: unknown) => message is T): Promise<T> {
    const { promise, resolve, reject } = Promise.withResolvers<T>();
    if (this.#end !== undefined) {
      reject(this.#end); // P2
      return promise;
    }
    const waiting = {
      onMessage: (message: unknown) => {
        if (!isWanted(message)) return;
        this.#waiting.delete(waiting);
        resolve(message);
      },
      reject,
    };
    this.#waiting.add(waiting);
    return promise;
  }

  /** Sends a message, and answers the next one of the wanted kind. */
  async ask<T>(message: object, isWanted: (answer: unknown) => answer is T): Promise<T> {
    const [answer] = await Promise.all([this.next(isWanted), this.send(message)]);
    return answer;
  }

  /** Ends it by SIGTERM; resolves when it has ended, and rejects where its exit code is not 0. */
  async stop(): Promise<void> {
    if (this.#end !== undefined) throw this.#end;
    const exited = once(this.#child, "close");
    this.#child.kill("SIGTERM");
    const [code, killedBy] = await exited;
    if (code !== 0) throw this.#end ?? new NebulaError("unavailable", `${this.#name} ended with ${code ?? killedBy}`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#signal.removeEventListener("abort", this.#kill);
    if (this.#child.pid === undefined || this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const exited = once(this.#child, "exit");
    this.#kill();
    await exited;
  }
}

/** Whether a message is the one that a server of ours sends when it listens. */
export function isReady(message: unknown): message is { kind: "ready"; port: number } {
  return typeof message === "object" && message !== null && "kind" in message && message.kind === "ready" && "port" in message;
}

/** Settings of Nebula's that the machine may have are not the bench's. */
function withoutSettings(environment: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(environment).filter(([name]) => !name.startsWith("NEBULA_")));
}
