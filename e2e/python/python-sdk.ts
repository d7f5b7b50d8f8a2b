import { type ChildProcessWithoutNullStreams, spawn } from "node:child_process";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { type Python, requirePython } from "./python.ts";

const PACKAGES = ["NebulaPythonSDK==2.8.0"];
const SCRIPT = join(import.meta.dirname, "call-sdk.py");

/** The answer of the SDK: the status, and the body. */
export type SdkAnswer = Readonly<{ status_code: number; reply: unknown }>;

/** The original SDK from PyPI; see requirePython. */
export function requirePythonSdk(context: Mocha.Context): Promise<Python> {
  return requirePython(context, PACKAGES);
}

/** The SDK in a process of its own, with one login. */
export class PythonSdk implements AsyncDisposable {
  readonly #process: ChildProcessWithoutNullStreams;
  readonly #lines: AsyncIterator<string>;
  #errors = "";
  #methods: readonly string[] = [];

  private constructor(python: string, login: Readonly<Record<string, unknown>>) {
    this.#process = spawn(python, [SCRIPT, JSON.stringify(login)]);
    this.#process.stderr.on("data", (chunk) => {
      this.#errors += chunk;
    });
    this.#lines = createInterface({ input: this.#process.stdout })[Symbol.asyncIterator]();
  }

  /** @param login what the SDK's constructor takes */
  static async start({ python }: Python, login: Readonly<Record<string, unknown>>): Promise<PythonSdk> {
    const sdk = new PythonSdk(python, login);
    sdk.#methods = JSON.parse(await sdk.#line());
    return sdk;
  }

  /** The names of all its methods. */
  get methods(): readonly string[] {
    return this.#methods;
  }

  async call(method: string, args: readonly unknown[] = [], named: Readonly<Record<string, unknown>> = {}): Promise<SdkAnswer> {
    this.#process.stdin.write(`${JSON.stringify({ method, args, named })}\n`);
    const answer = JSON.parse(await this.#line());
    if ("exception" in answer) throw new Error(`${method} of the SDK raised ${answer.exception}`);
    return answer;
  }

  async #line(): Promise<string> {
    const { value, done } = await this.#lines.next();
    if (done === true) throw new Error(`Python ended:\n${this.#errors}`);
    return value;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#process.exitCode !== null) return;
    const ended = new Promise((resolve) => this.#process.once("close", resolve));
    this.#process.stdin.end();
    await ended;
  }
}
