import { strict as assert } from "node:assert";
import { endedWithin } from "./ended-within.ts";

describe("endedWithin", () => {
  it("endedWithin waits for a close that never ends no longer than its limit, and says so", async () => {
    assert.equal(await endedWithin(new Promise(() => {}), 20), false);
  });

  it("endedWithin returns with the close, and rejects as it does", async () => {
    assert.equal(await endedWithin(Promise.resolve(), 60_000), true);
    await assert.rejects(endedWithin(Promise.reject(new Error("disk")), 60_000), /disk/);
  });
});
