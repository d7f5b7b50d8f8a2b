import { strict as assert } from "node:assert";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { eventually } from "../../common/testing/eventually.ts";
import { BenchProcess } from "./bench-process.ts";

const NODE = process.execPath;
const isAny = (message: unknown): message is unknown => message !== undefined;

function start(script: string, signal = new AbortController().signal): BenchProcess {
  return new BenchProcess({ name: "the server", command: [NODE, "-e", script], processors: undefined, signal });
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

describe("BenchProcess", () => {
  it("a bench process answers, and reports what it uses", async () => {
    await using server = start("process.on('message', ({ n }) => process.send({ n: n + 1 }))");
    assert.deepEqual(await server.ask({ n: 1 }, isAny), { n: 2 });
    assert.ok(server.figures().rssBytes > 10_000_000);
  });

  it("a bench process that ends by itself rejects the waiting calls, at once and later, with its last words", async () => {
    await using server = start("console.error('no more files'); process.exitCode = 3");
    const says = /the server ended with 3\nno more files/;
    await assert.rejects(server.next(isAny), says);
    await assert.rejects(server.next(isAny), says);
    await assert.rejects(server.send({}), says);
    assert.throws(() => server.figures(), says);
  });

  it("a bench process that cannot be started says so", async () => {
    await using server = new BenchProcess({
      name: "the server",
      command: ["no-such-command-here"],
      processors: undefined,
      signal: new AbortController().signal,
    });
    await assert.rejects(server.next(isAny), /the server ended with 127\n.*no-such-command-here/s);
  });

  it("a bench process is stopped by SIGTERM, and one that ends with an error then says so", async () => {
    const script = (code: number) =>
      `process.on('SIGTERM', () => { console.error('stopped late'); process.exit(${code}); }); setInterval(() => {}, 1000); process.send('ready')`;
    await using orderly = start(script(0));
    await orderly.next(isAny);
    await orderly.stop();
    assert.throws(() => orderly.figures(), /the server ended with 0/);
    await using failing = start(script(2));
    await failing.next(isAny);
    await assert.rejects(failing.stop(), /the server ended with 2\nstopped late/);
  });

  it("a bench process is killed when the bench is interrupted", async () => {
    const bench = new AbortController();
    await using server = start("setInterval(() => {}, 1000); process.send(process.pid)", bench.signal);
    const pid = Number(await server.next(isAny));
    const waiting = server.next(isAny);
    bench.abort();
    await assert.rejects(waiting, /interrupted/);
    assert.ok(!isAlive(pid));
  });

  it("a bench process does not outlive the bench's process, even without a handler of its own", async () => {
    const file = fileURLToPath(new URL("./bench-process.ts", import.meta.url));
    // a bench that starts `sleep`, which has no channel to notice its parent's end by, and is then killed
    const bench = spawn(
      NODE,
      [
        "--input-type=module",
        "-e",
        `const { BenchProcess } = await import(${JSON.stringify(file)});
         new BenchProcess({ name: "sleep", command: ["sleep", "600.5"], processors: undefined, signal: new AbortController().signal });
         process.send(process.pid);
         setInterval(() => {}, 1000);`,
      ],
      { stdio: ["ignore", "ignore", "inherit", "ipc"] },
    );
    const [pid] = await once(bench, "message");
    const sleep = await eventually(() => {
      const child = childOf(Number(pid));
      return child !== undefined && child;
    });
    bench.kill("SIGKILL");
    await eventually(() => !isAlive(sleep));
  });
});

function childOf(pid: number): number | undefined {
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").trim();
  const [first] = children.split(" ").map(Number);
  if (children === "" || first === undefined) return undefined;
  return readFileSync(`/proc/${first}/cmdline`, "utf8").startsWith("sleep") ? first : undefined;
}
