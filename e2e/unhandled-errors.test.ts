import { strict as assert } from "node:assert";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { eventually } from "../common/testing/eventually.ts";
import { Program, type ProgramOptions } from "./harness/program.ts";

/** Loaded into a program before its own code: a fault of ours that comes at a signal. */
const FAULTS = {
  SIGUSR2: `Promise.reject(new Error("the store broke", { cause: new Error("its disk is gone") }))`,
  SIGWINCH: `setImmediate(() => { throw new Error("the store broke", { cause: new Error("its disk is gone") }); })`,
  SIGCONT: `Promise.reject({ reason: "the store broke", cause: "its disk is gone" })`,
} as const;
const PRELOAD = Object.entries(FAULTS)
  .map(([signal, fault]) => `process.on("${signal}", () => { ${fault}; });`)
  .join("\n");
const FAULTY = { NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(PRELOAD)}` };

describe("an error that nothing handles", function () {
  this.timeout(60_000);
  let folder: string;
  let silent: { port: number; sockets: Set<Socket> };
  let close: () => void;

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), "nebula-unhandled-"));
    const sockets = new Set<Socket>();
    const server = createServer((socket) => sockets.add(socket.on("error", () => {})));
    await once(server.listen(0, "127.0.0.1"), "listening");
    const address = server.address();
    assert.ok(typeof address === "object" && address !== null);
    silent = { port: address.port, sockets };
    close = () => {
      for (const socket of sockets) socket.destroy();
      server.close();
    };
  });
  after(async () => {
    close();
    await rm(folder, { recursive: true, force: true });
  });

  /** Runs a program until it is up, has the fault happen in it, and answers what it printed; fails unless it ended with 1. */
  async function outputAfter(
    fault: keyof typeof FAULTS,
    args: readonly string[],
    isUp: (program: Program) => Promise<void>,
    options: ProgramOptions = {},
  ): Promise<string> {
    await using program = new Program(args, { ...options, env: { ...options.env, ...FAULTY } });
    await isUp(program);
    program.child.kill(fault);
    assert.equal(await program.exit(), 1, program.output);
    await eventually(() => /the store broke/.test(program.output)); // what a pipe still holds comes after the exit
    return program.output;
  }

  const printed = (pattern: RegExp) => (program: Program) => program.printed(pattern);

  /** The one line of the log that tells of the fault. */
  function logLine(output: string): Record<string, unknown> {
    const lines = output.split("\n").filter((line) => line.includes("the store broke"));
    assert.equal(lines.length, 1, output);
    return Object(JSON.parse(lines[0] ?? ""));
  }

  const grpc = ["--grpc-listen", "127.0.0.1:0", "--metrics-listen", "off"];
  const listens = [...grpc, "--http-listen", "127.0.0.1:0"];
  const CLUSTER_KEY = { NEBULA_CLUSTER_KEY: "k".repeat(44), NEBULA_ADMIN_PASSWORD: "a password of 21 bytes" };
  const components: Readonly<Record<string, readonly string[]>> = {
    server: [...listens, "--data", "DATA"],
    manager: [...grpc, "--data", "DATA"],
    gateway: [...listens, "--data", "DATA"],
    worker: ["--server", "grpc://127.0.0.1:SILENT", "--device-group", "g", "--device-id", "d", "--data", "DATA", "--runtime", "simulated:"],
  };
  for (const [name, args] of Object.entries(components)) {
    it(`an unhandled error ends nebula ${name} with 1 and one line of its log, with the stack and the cause`, async () => {
      const given = args.map((arg) => arg.replace("SILENT", String(silent.port)).replace("DATA", join(folder, name)));
      const output = await outputAfter("SIGUSR2", [name, ...given], printed(/Nebula \d+\.\d+\.\d+/), { env: CLUSTER_KEY });
      const { level, part, kind, err } = logLine(output);
      assert.deepEqual([level, part, kind], ["error", name, "unhandled rejection"]);
      const { stack } = Object(err);
      assert.match(stack, /the store broke[\s\S]*caused by: Error: its disk is gone/);
    });
  }

  it("an unhandled error is recognised as an exception, and shown where it is not an Error", async () => {
    const args = ["server", ...listens, "--data", join(folder, "server")];
    const thrown = logLine(await outputAfter("SIGWINCH", args, printed(/is up/)));
    assert.equal(thrown.kind, "uncaught exception");
    const text = JSON.stringify(logLine(await outputAfter("SIGCONT", args, printed(/is up/))));
    assert.match(text, /unhandled rejection.*its disk is gone/);
  });

  it("an unhandled error ends nebulactl with 1 and a line that names the cause", async () => {
    const before = silent.sockets.size;
    const calls = async () => void (await eventually(() => silent.sockets.size > before));
    const env = { NEBULA_SERVER: `http://127.0.0.1:${silent.port}`, NEBULA_TOKEN: "t".repeat(43), HOME: folder };
    const output = await outputAfter("SIGUSR2", ["apps", "list"], calls, { file: "cli/nebulactl.js", env });
    assert.equal(output, "error: unhandled rejection: the store broke, caused by: its disk is gone\n");
  });

  it("an unhandled error ends the demo with 1 and a line that names the cause", async () => {
    const output = await outputAfter("SIGUSR2", ["demo", "--devices", "1", "--keep"], printed(/A server with nothing else/), {
      env: { TMPDIR: folder },
    });
    assert.match(output, /^nebula: unhandled rejection: the store broke, caused by: its disk is gone$/m);
  });

  it("an unhandled error ends a bench with 1, and is shown with its cause", async () => {
    const args = ["--devices", "2", "--only", "http2", "--runs", "1", "--pushes", "2", "--reconnecting", "1", "--no-traffic"];
    const output = await outputAfter("SIGUSR2", args, printed(/connected in/), { file: "loadtest/watch.ts" });
    assert.match(output, /^unhandled rejection: Error: the store broke[\s\S]*\[cause\]: Error: its disk is gone/m);
  });
});
