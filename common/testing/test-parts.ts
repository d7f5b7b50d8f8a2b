import { type SpawnOptions, spawn } from "node:child_process";
import { once } from "node:events";
import { appendFileSync, closeSync, globSync, mkdtempSync, openSync, readFileSync, readSync, rmSync } from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import { StringDecoder } from "node:string_decoder";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { stripVTControlCharacters } from "node:util";
import { endWithTests } from "./end-with-tests.ts";

// T1: each file of tests is in one part, and all files that ask for shared servers are in one, so that these start once.
// T2: a part that must not have company runs after all others.
// T3: the output of each part is printed whole and in the order of the parts, also where the run is ended by a signal.
// T4: a part that ends without its counts, or not with 0, fails the run.

/** Files of tests that one process of mocha runs. */
export type Part = Readonly<{ name: string; files: readonly string[]; isAlone: boolean }>;

export type Counts = Readonly<{ passed: number; failed: number; skipped: number }>;

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const MOCHA = fileURLToPath(import.meta.resolve("mocha/bin/mocha.js"));
const TESTS = "{common,manager,worker,reporter,gateway,cli,loadtest,e2e,deploy}/**/*.test.ts";
const ON_SERVERS = /\/(?:servers|test-keyspace|test-kafka|test-redis|kafka-fleets|redis-fleets)\.ts"/;
/** Files that make the images are with them: two processes would make dist/ at once. */
const ON_OWN_ENGINE = /\/(?:own-engine|nebula-images)\.ts"/;
const LOOK_EVERY_MS = 250;
/** Of a part without a summary. */
const LAST_LINES = 100;

type Sort = Readonly<{ name: string; isAlone?: true; has: (file: string, text: string) => boolean }>;

/** A file is in the first part that has it. The longest part is first. */
const SORTS: readonly Sort[] = [
  { name: "benches", isAlone: true, has: (file) => file.startsWith("loadtest/") }, // they measure
  { name: "servers and clusters", has: (file, text) => /^e2e\/(?:cluster|kafka)\//.test(file) || ON_SERVERS.test(text) },
  { name: "own engines", has: (_, text) => ON_OWN_ENGINE.test(text) },
  { name: "end to end", has: (file) => file.startsWith("e2e/") },
  { name: "units", has: () => true },
];
const ORDER = ["servers and clusters", "end to end", "units", "own engines", "benches"];

/** All tests of the project, as `npm test` runs them. */
export function allParts(): readonly Part[] {
  const files = globSync(TESTS, { cwd: ROOT }).toSorted();
  const sorted = Map.groupBy(files, (file) => {
    const text = readFileSync(join(ROOT, file), "utf8");
    return SORTS.find(({ has }) => has(file, text))?.name;
  });
  return ORDER.map((name) => ({
    name,
    files: sorted.get(name) ?? [],
    isAlone: SORTS.some((sort) => sort.name === name && sort.isAlone === true),
  }));
}

/**
 * Runs parts, up to `places` at a time; resolves with the counts of all, and whether the run is a success.
 * @param mochaArgs of each process, besides its files
 */
export async function runParts(
  parts: readonly Part[],
  { places, mochaArgs = [], print }: Readonly<{ places: number; mochaArgs?: readonly string[]; print: (text: string) => void }>,
): Promise<Readonly<{ counts: Counts; isSuccess: boolean }>> {
  const folder = mkdtempSync(join(tmpdir(), "nebula-test-parts-"));
  const runs = [...parts].sort((a, b) => Number(a.isAlone) - Number(b.isAlone)).map((part, i) => new PartRun(part, join(folder, `${i}.log`)));
  const printRest = () => {
    for (const run of runs) run.printNew(print);
  };
  process.on("exit", printRest); // T3
  try {
    const printing = (async () => {
      for (const run of runs) await run.printWhole(print);
    })();
    for (const isAlone of [false, true]) {
      const waiting = runs.filter(({ part }) => part.isAlone === isAlone);
      const place = async () => {
        for (let run = waiting.shift(); run !== undefined; run = waiting.shift()) await run.run(mochaArgs);
      };
      await Promise.all(Array.from({ length: isAlone ? 1 : places }, place)); // T2
    }
    await printing;
    const failures = runs.filter(({ isSuccess }) => !isSuccess);
    for (const run of failures) print(`\nAgain, of "${run.part.name}":\n${run.summary}`);
    const sum = (count: (counts: Counts) => number) => runs.reduce((total, { counts }) => total + count(counts), 0);
    const counts = { passed: sum(({ passed }) => passed), failed: sum(({ failed }) => failed), skipped: sum(({ skipped }) => skipped) };
    return { counts, isSuccess: failures.length === 0 };
  } finally {
    process.off("exit", printRest);
    for (const run of runs) run.close();
    rmSync(folder, { recursive: true, force: true });
  }
}

/** The line that ends a run. */
export function countsLine({ passed, failed, skipped }: Counts): string {
  return `${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ""}`;
}

/** The counts in the last line of a run's output. */
const COUNTS = /^(\d+) passed, (\d+) failed(?:, (\d+) skipped)?$/gm;
/** The line with which mocha's summary begins. */
const SUMMARY = /^ +\d+ passing/;

/** One part, from its start to its end. Its output goes to a file: a process that a test leaves behind keeps no pipe open. */
class PartRun {
  readonly part: Part;
  readonly #file: string;
  readonly #log: number;
  readonly #decoder = new StringDecoder("utf8");
  readonly #over = new AbortController();
  #printed = 0;
  #code: number | null = null;

  constructor(part: Part, file: string) {
    this.part = part;
    this.#file = file;
    this.#log = openSync(file, "a+");
  }

  /** Resolves when mocha has ended. */
  async run(mochaArgs: readonly string[]): Promise<void> {
    const start = performance.now();
    const options = { cwd: ROOT, stdio: ["ignore", this.#log, this.#log] } satisfies SpawnOptions;
    const child = endWithTests(spawn(process.execPath, [MOCHA, ...mochaArgs, ...this.part.files], options), "SIGTERM");
    try {
      const [code] = await once(child, "exit");
      this.#code = code;
      const seconds = Math.round((performance.now() - start) / 1000);
      const how = this.isSuccess ? "" : `, and it ended with ${code ?? child.signalCode}`;
      appendFileSync(this.#log, `\n== end of "${this.part.name}": ${seconds} s${how}\n`);
    } finally {
      this.#over.abort();
    }
  }

  get isSuccess(): boolean {
    return this.#code === 0 && this.#found !== undefined;
  }

  /** A part without counts, or that says of no failure what it ended for, has one (T4). */
  get counts(): Counts {
    const { passed, failed, skipped } = this.#found ?? { passed: 0, failed: 0, skipped: 0 };
    return { passed, failed: this.isSuccess ? failed : Math.max(1, failed), skipped };
  }

  get #found(): Counts | undefined {
    const [, passed, failed, skipped] = [...this.#output.matchAll(COUNTS)].at(-1) ?? [];
    return passed === undefined ? undefined : { passed: Number(passed), failed: Number(failed), skipped: Number(skipped ?? 0) };
  }

  /** The lines that mocha printed after the last test; the last lines where it did not get there. */
  get summary(): string {
    const lines = this.#output.split("\n");
    const begin = lines.findLastIndex((line) => SUMMARY.test(stripVTControlCharacters(line)));
    return lines.slice(begin >= 0 ? begin : -LAST_LINES).join("\n");
  }

  get #output(): string {
    return readFileSync(this.#file, "utf8");
  }

  /** Prints what mocha prints, as it comes, to the end. */
  async printWhole(print: (text: string) => void): Promise<void> {
    const { signal } = this.#over;
    print(`\n== ${this.part.name}: ${this.part.files.length} files\n`);
    while (!signal.aborted) {
      this.printNew(print);
      await delay(LOOK_EVERY_MS, undefined, { signal }).catch(() => {}); // it is over
    }
    this.printNew(print);
  }

  /** Prints what has not been printed yet. */
  printNew(print: (text: string) => void): void {
    const piece = Buffer.alloc(65_536);
    for (;;) {
      const length = readSync(this.#log, piece, 0, piece.length, this.#printed);
      if (length === 0) return;
      this.#printed += length;
      print(this.#decoder.write(piece.subarray(0, length)));
    }
  }

  close(): void {
    closeSync(this.#log);
  }
}

// `npm test`: all tests, two parts side by side. Arguments are mocha's, of each part.
if (import.meta.main) {
  const { counts, isSuccess } = await runParts(allParts(), {
    places: Math.min(2, availableParallelism()),
    mochaArgs: process.argv.slice(2),
    print: (text) => void process.stdout.write(text),
  });
  console.log(countsLine(counts));
  process.exitCode = isSuccess ? 0 : 1;
}
