import { strict as assert } from "node:assert";
import { untilNone } from "./eventually.ts";

describe("waiting until nothing is left", () => {
  const WAIT = { stillMs: 30, everyMs: 10 };

  it("a wait outlasts its limit where each look finds less than the one before", async () => {
    let left = 20;
    const beganAt = performance.now();
    await untilNone(() => --left, WAIT);
    assert.equal(left, 0);
    assert.ok(performance.now() - beganAt > WAIT.stillMs);
  });

  it("a wait ends with an error where it becomes no less, or less and more again", async () => {
    await assert.rejects(
      untilNone(() => 7, WAIT),
      /^Error: 7 are left, and no fewer for 30 ms$/,
    );
    let looks = 0;
    await assert.rejects(
      untilNone(() => (++looks % 2 === 0 ? 3 : 5), WAIT),
      /^Error: 3 are left/,
    );
  });

  it("a wait passes over a count that fails, and names the failure where no other follows", async () => {
    let looks = 0;
    const afterFailure = async () => {
      if (++looks === 1) throw new Error("no answer");
      return 0;
    };
    await untilNone(afterFailure, WAIT);
    await assert.rejects(
      untilNone(() => Promise.reject(new Error("no answer")), WAIT),
      (error) => error instanceof Error && String(error.cause) === "Error: no answer",
    );
  });
});
