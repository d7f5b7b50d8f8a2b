import { strict as assert } from "node:assert";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { eventually } from "./eventually.ts";

const MODULE = new URL("end-with-tests.ts", import.meta.url).href;
const PROGRAM = `
  import { spawn } from "node:child_process";
  import { endWithTests } from ${JSON.stringify(MODULE)};
  const child = endWithTests(spawn(process.execPath, ["-e", "setInterval(() => {}, 1000)"], { stdio: "ignore" }));
  console.log(child.pid);
  setInterval(() => {}, 1000);
`;

describe("processes that end with the tests", () => {
  for (const signal of ["SIGTERM", "SIGHUP"] as const) {
    it(`are gone after a ${signal} to the tests`, async () => {
      const tests = spawn(process.execPath, ["--input-type=module", "-e", PROGRAM], {
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
