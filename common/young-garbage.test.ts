import { strict as assert } from "node:assert";
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";

/** Has most objects of one place in the code live for long; the engine prints what it decides about them. */
const LONG_LIVES = "const kept = []; for (let at = 0; at < 300_000; at++) kept.push({ at, more: [at, at] });";

describe("keepGarbageYoung", () => {
  it("the engine decides nothing about where objects of a place in the code are allocated any more", () => {
    const file = fileURLToPath(new URL("young-garbage.ts", import.meta.url));
    const decisions = (code: string) => {
      const args = ["--trace-pretenuring-statistics", "--input-type=module", "--eval", `${code} ${LONG_LIVES}`];
      const { stdout, stderr, status } = spawnSync(process.execPath, args, { encoding: "utf8" });
      assert.equal(status, 0, stderr);
      assert.equal(stderr, "");
      return stdout.split("\n").filter((line) => line.includes("pretenuring: AllocationSite"));
    };
    assert.notDeepEqual(decisions(""), []);
    assert.deepEqual(decisions(`const { keepGarbageYoung } = await import(${JSON.stringify(file)}); keepGarbageYoung();`), []);
  });
});
