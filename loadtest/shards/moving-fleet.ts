import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { NebulaError } from "../../common/errors/nebula-error.ts";
import { BenchProcess } from "../processes/bench-process.ts";
import type { Processors } from "../processes/processors.ts";
import type { Moves, MovingOptions } from "./moving-devices.ts";

/** The commands of the bench to the process of its moving devices. */
export type MovingCommand =
  | { kind: "start"; options: MovingOptions }
  /** Wait until each device has had its watch for `forMs`. */
  | { kind: "steady"; forMs: number }
  /** Wait until each device is served by one of these. */
  | { kind: "move"; to: readonly string[] };

export type MovingAnswer = { kind: "started" } | { kind: "steady" } | { kind: "moved"; moves: Moves } | { kind: "failed"; reason: string };

const PROCESS_FILE = fileURLToPath(new URL("./moving-process.ts", import.meta.url));
/** The longest wait for an answer: a later one will not come. */
const LIMIT_MS = 180_000;

/** Devices that follow their shard, in a process of their own. */
export class MovingFleet implements AsyncDisposable {
  readonly #process: BenchProcess;
  readonly #signal: AbortSignal;

  constructor({ processors, signal }: { processors: Processors; signal: AbortSignal }) {
    this.#signal = signal;
    this.#process = new BenchProcess({ name: "the moving devices", command: [process.execPath, PROCESS_FILE], processors, signal });
  }

  /** Resolves when each device has a watch. */
  async start(options: MovingOptions): Promise<void> {
    await this.#ask({ kind: "start", options }, "started");
  }

  /** Resolves when each device has had its watch for `forMs`. */
  async steady(forMs: number): Promise<void> {
    await this.#ask({ kind: "steady", forMs }, "steady");
  }

  /** Has `act` move the devices; resolves when each is served by one of these, and `act` is done. */
  async move<T>(to: readonly string[], act: () => Promise<T>): Promise<Readonly<{ moves: Moves; done: T }>> {
    const [{ moves }, done] = await Promise.all([this.#ask({ kind: "move", to }, "moved"), act()]);
    return { moves, done };
  }

  async #ask<Kind extends MovingAnswer["kind"]>(command: MovingCommand, kind: Kind): Promise<Extract<MovingAnswer, { kind: Kind }>> {
    const done = new AbortController();
    const late = delay(LIMIT_MS, undefined, { signal: AbortSignal.any([done.signal, this.#signal]) }).then(() => {
      throw new NebulaError("deadline_exceeded", `the moving devices did not ${command.kind} within ${LIMIT_MS / 1000} s`);
    });
    try {
      const answer = await Promise.race([this.#process.ask(command, isAnswer), late]);
      if (isKind(answer, kind)) return answer;
      throw new NebulaError("unavailable", answer.kind === "failed" ? `the moving devices: ${answer.reason}` : "the moving devices failed");
    } finally {
      done.abort();
      late.catch(() => {});
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#process[Symbol.asyncDispose]();
  }
}

function isAnswer(message: unknown): message is MovingAnswer {
  return typeof message === "object" && message !== null && "kind" in message;
}

function isKind<Kind extends MovingAnswer["kind"]>(answer: MovingAnswer, kind: Kind): answer is Extract<MovingAnswer, { kind: Kind }> {
  return answer.kind === kind;
}
