import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { bundlePrograms } from "../cli/build/bundle-programs.ts";
import { ADMIN, startTestServer } from "../cli/nebulactl/testing/test-server.ts";
import { numberOption, runBench, wholeNumber } from "./command-line.ts";

const HELP = `npm run bench:cli -- [options]

How long nebulactl apps list takes against a server on the loopback address, from a clone and bundled, beside an empty Node process. They take turns, one run
each, so that what else happens on the machine meets all alike. Goals: at most 6 times the empty process from a clone, 4 times bundled. Linux only.

  --runs N    runs of each, of which the table shows medians (21)
`;

/** One run: milliseconds by the clock, and of processor time, which others on the machine matter less to. */
type Run = Readonly<{ wallMs: number; cpuMs: number }>;

await runBench(async () => {
  const { values } = parseArgs({ options: { runs: numberOption("21"), help: { type: "boolean", default: false } } });
  if (values.help) return console.log(HELP);
  const count = wholeNumber("runs", values.runs);
  const folder = await mkdtemp(join(tmpdir(), "nebula-bench-cli-"));
  try {
    await bundlePrograms(folder);
    await using server = await startTestServer();
    const env = { ...process.env, HOME: folder, NEBULA_SERVER: server.http, NEBULA_TOKEN: ADMIN.token };
    const clone = fileURLToPath(new URL("../cli/nebulactl.js", import.meta.url));
    const subjects = [
      { name: "empty Node process", args: ["--eval", "0"], goal: 1, runs: [] as Run[] },
      { name: "apps list, clone", args: [clone, "apps", "list"], goal: 6, runs: [] as Run[] },
      { name: "apps list, bundled", args: [join(folder, "nebulactl.mjs"), "apps", "list"], goal: 4, runs: [] as Run[] },
    ];
    for (const { args } of subjects) await run(args, env); // what is compiled the first time is kept
    for (let index = 0; index < count; index++) for (const { args, runs } of subjects) runs.push(await run(args, env));

    const of = (runs: readonly Run[], value: (run: Run) => number) => median(runs.map(value));
    const empty = subjects[0]?.runs ?? [];
    console.log(`medians of ${count} runs, in turns\n\nsubject               wall ms  times  cpu ms  times  goal`);
    for (const { name, runs, goal } of subjects) {
      const [wall, cpu] = [of(runs, ({ wallMs }) => wallMs), of(runs, ({ cpuMs }) => cpuMs)];
      const times = [wall / of(empty, ({ wallMs }) => wallMs), cpu / of(empty, ({ cpuMs }) => cpuMs)].map((number) => number.toFixed(1).padStart(5));
      console.log(
        `${name.padEnd(20)}  ${wall.toFixed(0).padStart(7)}  ${times[0]}  ${cpu.toFixed(0).padStart(6)}  ${times[1]}  ${String(goal).padStart(4)}`,
      );
    }
  } finally {
    await rm(folder, { recursive: true });
  }
});

async function run(args: readonly string[], env: NodeJS.ProcessEnv): Promise<Run> {
  const [began, cpuBefore] = [performance.now(), childrenCpuMs()];
  const child = spawn(process.execPath, args, { env, stdio: "ignore" });
  const [code] = await once(child, "exit");
  const wallMs = performance.now() - began;
  if (code !== 0) throw new Error(`node ${args.join(" ")} ended with ${code}`);
  return { wallMs, cpuMs: childrenCpuMs() - cpuBefore };
}

/** Processor time of the children that have ended, in steps of the kernel's clock tick of 10 ms. */
function childrenCpuMs(): number {
  const fields = readFileSync("/proc/self/stat", "utf8").split(") ").at(-1)?.split(" ") ?? [];
  return (Number(fields[13]) + Number(fields[14])) * 10;
}

function median(numbers: readonly number[]): number {
  return numbers.toSorted((a, b) => a - b)[Math.floor(numbers.length / 2)] ?? 0;
}
