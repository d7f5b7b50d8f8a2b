import { strict as assert } from "node:assert";
import { execFile } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const MOCHA = fileURLToPath(import.meta.resolve("mocha/bin/mocha.js"));

describe("a run of the tests", function () {
  this.timeout(60_000);
  let folder: string;
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), "nebula-mocha-"));
  });
  after(() => rm(folder, { recursive: true, force: true }));

  /** Runs mocha as `npm test` does, on one test with this body and one that takes a moment after it; answers the exit code and the output. */
  async function run(body: string, { another = true } = {}): Promise<{ code: number; output: string }> {
    const file = join(folder, "one.test.mjs");
    const next = another ? `it("takes a moment", (done) => void setTimeout(done, 100));` : "";
    await writeFile(file, `describe("a part", () => { it("passes", async () => { ${body} }); ${next} });`);
    return await new Promise((resolve) => {
      execFile(process.execPath, [MOCHA, file], { cwd: ROOT }, (error, out, errors) =>
        resolve({ code: typeof error?.code === "number" ? error.code : 0, output: `${out}${errors}` }),
      );
    });
  }

  it("a run of the tests passes where every rejection is handled", async () => {
    const { code, output } = await run(`await Promise.reject(new Error("handled")).catch(() => {});`);
    assert.equal(code, 0, output);
    assert.match(output, /2 passed, 0 failed/);
  });

  it("a run of the tests ends where a test leaves something open, and names it", async () => {
    process.env.NEBULA_TEST_LEFT_OPEN_MS = "200";
    try {
      const { code, output } = await run(`setInterval(() => {}, 1000);`);
      assert.equal(code, 1, output);
      assert.match(output, /2 passed, 0 failed/);
      assert.match(output, /something that they left open keeps the process: .*Timeout/);
    } finally {
      delete process.env.NEBULA_TEST_LEFT_OPEN_MS;
    }
  });

  const left: Readonly<Record<string, [body: string, another: boolean]>> = {
    "during a test": [`Promise.reject(new Error("left behind")); await new Promise(setImmediate);`, true],
    "after its test has passed": [`setTimeout(() => Promise.reject(new Error("left behind")), 20);`, true],
    "after the last test": [`setTimeout(() => Promise.reject(new Error("left behind")), 20);`, false],
    "with a reason that is not an Error": [`Promise.reject({ text: "left behind" }); await new Promise(setImmediate);`, true],
  };
  for (const [when, [body, another]] of Object.entries(left)) {
    it(`a run of the tests fails on a rejection that is not handled, ${when}`, async () => {
      const { code, output } = await run(body, { another });
      assert.notEqual(code, 0, output);
      assert.match(output, /left behind/);
    });
  }
});
