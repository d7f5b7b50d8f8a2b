import { strict as assert } from "node:assert";
import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

const RUN = promisify(execFile);
const MODULE = fileURLToPath(new URL("../validation/app.ts", import.meta.url));

describe("the compile cache of the tests", () => {
  it("a program that a test starts loads each module compiled, by the compile cache", async () => {
    const load = () =>
      RUN(process.execPath, ["--input-type=module", "-e", `await import(${JSON.stringify(MODULE)});`], {
        env: { ...process.env, NODE_DEBUG_NATIVE: "COMPILE_CACHE" },
      });
    await load(); // a run of this file alone may be the first that loads the module
    const { stderr } = await load();
    const accepted = stderr.split("\n").filter((line) => line.includes("/common/validation/app.ts") && / was accepted/.test(line));
    assert.ok(accepted.length > 0, stderr.slice(0, 5000));
  });
});
