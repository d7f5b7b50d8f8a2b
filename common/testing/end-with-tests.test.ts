import { strict as assert } from "node:assert";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { eventually } from "./eventually.ts";

const MODULE = new URL("end-with-tests.ts", import.meta.url).href;
/** Starts a program and says its process id. */
const PROGRAM = `
  import { spawn } from "node:child_process";
  import { endWithTests } from ${JSON.stringify(MODULE)};
  const child = endWithTests(spawn(process.execPath, ["-e", "setInterval(() => {}, 1000)"], { stdio: "ignore" }));
  console.log(child.pid);
  setInterval(() => {}, 1000);
`;
/** Starts such a program, which says the process id of its own. */
const PROGRAM_OF_PROGRAMS = `
  import { spawn } from "node:child_process";
  import { endWithTests } from ${JSON.stringify(MODULE)};
  const args = ["--input-type=module", "-e", ${JSON.stringify(PROGRAM)}];
  endWithTests(spawn(process.execPath, args, { stdio: ["ignore", "inherit", "inherit"] }), "SIGTERM");
  setInterval(() => {}, 1000);
`;

describe("processes that end with the tests", () => {
  for (const [what, program, signal] of [
    ["processes of the tests are gone after a SIGTERM to the tests", PROGRAM, "SIGTERM"],
    ["processes of the tests are gone after a Ctrl-C to the tests", PROGRAM, "SIGINT"],
    ["processes of the tests are gone after a SIGHUP to the tests", PROGRAM, "SIGHUP"],
    ["processes of the tests end those of their own first", PROGRAM_OF_PROGRAMS, "SIGTERM"],
  ] as const) {
    it(what, async () => {
      const tests = spawn(process.execPath, ["--input-type=module", "-e", program], {
        cwd: fileURLToPath(new URL("../..", import.meta.url)),
        stdio: ["ignore", "pipe", "inherit"],
      });
      const [line] = await once(createInterface(tests.stdout), "line");
      const pid = Number(line);
      assert.ok(isRunning(pid));
      tests.kill(signal);
      await once(tests, "exit");
      await eventually(() => !isRunning(pid));
    });
  }
});

function isRunning(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}
