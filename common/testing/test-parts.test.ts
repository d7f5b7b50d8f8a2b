import { strict as assert } from "node:assert";
import { spawn } from "node:child_process";
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

  it("parts are ended by a signal to the run, and their output is shown", async () => {
    const hangs = (name: string) =>
      part(name, `it("hangs", function (done) { this.timeout(0); console.log("${name} has pid", process.pid); setInterval(() => {}, 1000); });`);
    const parts = [await hangs("one"), await hangs("two")];
    const program = `import { runParts } from ${JSON.stringify(MODULE)};
      await runParts(${JSON.stringify(parts)}, { places: 2, print: (text) => process.stdout.write(text) });`;
    const child = endWithTests(spawn(process.execPath, ["--input-type=module", "-e", program], { stdio: ["ignore", "pipe", "inherit"] }), "SIGTERM");
    let output = "";
    child.stdout?.setEncoding("utf8").on("data", (text: string) => {
      output += text;
    });
    const pids = () => [...output.matchAll(/has pid (\d+)/g)].map(([, pid]) => Number(pid));
    await eventually(() => pids().length === 1, { timeoutMs: 30_000 });
    child.kill("SIGTERM");
    const [code] = await once(child, "close");
    assert.equal(code, 143);
    assert.match(output, /one has pid/);
    for (const pid of pids()) await eventually(() => assert.throws(() => process.kill(pid, 0), /ESRCH/));
  });
});
