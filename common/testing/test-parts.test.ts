import { strict as assert } from "node:assert";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { globSync, readFileSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { endWithTests } from "./end-with-tests.ts";
import { eventually } from "./eventually.ts";
import { allParts, countsLine, type Part, runParts } from "./test-parts.ts";

const MODULE = new URL("./test-parts.ts", import.meta.url).href;
const ROOT = fileURLToPath(new URL("../..", import.meta.url));

describe("the parts of npm test", function () {
  this.timeout(60_000);
  let folder: string;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), "nebula-parts-"));
  });
  afterEach(() => rm(folder, { recursive: true, force: true }));

  async function part(name: string, body: string, { isAlone = false } = {}): Promise<Part> {
    const file = join(folder, `${name}.test.mjs`);
    await writeFile(file, `import { appendFileSync } from "node:fs"; describe("${name}", () => { ${body} });`);
    return { name, files: [file], isAlone };
  }

  async function run(...parts: readonly Part[]): Promise<Readonly<{ output: string; line: string; isSuccess: boolean }>> {
    let output = "";
    const { counts, isSuccess } = await runParts(parts, {
      places: 2,
      print: (text) => {
        output += text;
      },
    });
    return { output, line: countsLine(counts), isSuccess };
  }

  it("the parts have every file of tests once, and none is empty", () => {
    const parts = allParts();
    const all = globSync("{common,manager,worker,reporter,gateway,cli,loadtest,e2e,deploy}/**/*.test.ts", { cwd: ROOT });
    assert.deepEqual(parts.flatMap(({ files }) => files).toSorted(), all.toSorted());
    assert.ok(parts.length > 3 && parts.every(({ files }) => files.length > 0));
  });

  it("one part has all files that ask for shared servers, another those that measure", () => {
    const parts = allParts();
    const asks = (file: string) =>
      /requireServers?\(|requireStoppableServer\(|createStoppableKeyspace\(/.test(readFileSync(join(ROOT, file), "utf8"));
    const withServers = parts.filter(({ isAlone, files }) => !isAlone && files.some(asks)).map(({ name }) => name);
    assert.deepEqual(withServers, ["servers and clusters"]);
    const makesImages = (file: string) => /await prepareImages\(/.test(readFileSync(join(ROOT, file), "utf8"));
    assert.deepEqual(
      parts.filter(({ files }) => files.some(makesImages)).map(({ name }) => name),
      ["own engines"],
    );
    assert.deepEqual(
      parts.filter(({ isAlone }) => isAlone).map(({ files }) => files.every((file) => file.startsWith("loadtest/"))),
      [true],
    );
  });

  it("parts are printed whole and in order, the counts of all added up", async () => {
    const slow = await part("slow", `it("takes a moment", (done) => void setTimeout(done, 300)); it("is left out");`);
    const { output, line, isSuccess } = await run(slow, await part("fast", `it("passes", () => {}); it("passes too", () => {});`));
    assert.ok(isSuccess, output);
    assert.equal(line, "3 passed, 0 failed, 1 skipped");
    assert.match(output, /takes a moment.*1 passed, 0 failed, 1 skipped.*passes too.*2 passed, 0 failed/s);
  });

  it("a part that fails fails the run, and the failure is shown again at the end", async () => {
    const fails = await part("fails", `it("breaks", () => { throw new Error("the reason"); });`);
    const { output, line, isSuccess } = await run(fails, await part("passes", `it("passes", () => {});`));
    assert.equal(isSuccess, false);
    assert.equal(line, "1 passed, 1 failed");
    assert.match(output, /Error: the reason.*1 passed, 0 failed.*Again, of "fails".*Error: the reason/s);
  });

  it("a part that ends before its counts, or not with 0 after them, fails the run", async () => {
    const ends = await part("ends", `it("passes", () => {}); it("ends the process", () => process.exit(0));`);
    const late = await part("late", `it("passes", () => process.on("exit", () => process.kill(process.pid, "SIGKILL")));`);
    const { output, line, isSuccess } = await run(ends, late);
    assert.equal(isSuccess, false);
    assert.equal(line, "1 passed, 2 failed", output);
    assert.match(output, /end of "late": \d+ s, and it ended with SIGKILL/);
  });

  it("parts that measure run after all others", async () => {
    const log = join(folder, "log");
    const notes = (name: string, ms: number) =>
      `const note = (text) => appendFileSync(${JSON.stringify(log)}, text + " ");
       it("notes", (done) => { note("${name}("); setTimeout(() => { note(")${name}"); done(); }, ${ms}); });`;
    const alone = await part("alone", notes("alone", 10), { isAlone: true });
    const { isSuccess } = await run(alone, await part("a", notes("a", 300)), await part("b", notes("b", 300)));
    assert.ok(isSuccess);
    assert.match(readFileSync(log, "utf8"), /^[ab() ]{11} alone\( \)alone $/);
  });

  /** Starts a run of two parts in a process, in a group of its own as a shell starts it; both tests hang, each beside a program that ignores a Ctrl-C. */
  async function startHanging(): Promise<Readonly<{ child: ChildProcess; output: () => string; pids: () => number[] }>> {
    const endWithTestsModule = new URL("./end-with-tests.ts", import.meta.url).href;
    const program = `process.on("SIGINT", () => {}); setInterval(() => {}, 1000); console.log("the program has pid", process.pid);`;
    const hangs = (name: string) =>
      part(
        name,
        `it("hangs", async function () {
           this.timeout(0);
           const { spawn } = await import("node:child_process");
           const { endWithTests } = await import(${JSON.stringify(endWithTestsModule)});
           endWithTests(spawn(process.execPath, ["-e", ${JSON.stringify(program)}], { stdio: ["ignore", "inherit", "inherit"] }));
           console.log("${name} has pid", process.pid);
           await new Promise(() => setInterval(() => {}, 1000));
         });`,
      );
    const parts = [await hangs("one"), await hangs("two")];
    const run = `import { runParts } from ${JSON.stringify(MODULE)};
      await runParts(${JSON.stringify(parts)}, { places: 2, print: (text) => process.stdout.write(text) });`;
    const args = ["--input-type=module", "-e", run];
    const child = endWithTests(spawn(process.execPath, args, { stdio: ["ignore", "pipe", "inherit"], detached: true }), "SIGTERM");
    let output = "";
    child.stdout?.setEncoding("utf8").on("data", (text: string) => {
      output += text;
    });
    const pids = () => [...output.matchAll(/has pid (\d+)/g)].map(([, pid]) => Number(pid));
    await eventually(() => pids().length === 2, { timeoutMs: 30_000 }); // of the first part: the second is printed after it
    return { child, output: () => output, pids };
  }

  const SIGNALS: readonly Readonly<{ title: string; send: (pid: number) => void; code: number }>[] = [
    {
      title: "parts and the programs of their tests are ended by a signal to the run, and their output is shown",
      send: (pid) => process.kill(pid, "SIGTERM"),
      code: 143,
    },
    {
      title: "parts and the programs of their tests are ended by a Ctrl-C, which every process of the terminal receives",
      send: (pid) => process.kill(-pid, "SIGINT"),
      code: 130,
    },
  ];
  for (const { title, send, code } of SIGNALS) {
    it(title, async () => {
      const { child, output, pids } = await startHanging();
      send(child.pid ?? assert.fail());
      const [ended] = await once(child, "close");
      assert.equal(ended, code);
      assert.match(output(), /one has pid/);
      for (const pid of pids()) await eventually(() => assert.throws(() => process.kill(pid, 0), /ESRCH/));
    });
  }
});
