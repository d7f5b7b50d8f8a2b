import { strict as assert } from "node:assert";
import { hashSync } from "bcryptjs";
import { verifyBcrypt } from "./verify-bcrypt.ts";

describe("a check by bcrypt", () => {
  it("a check by bcrypt leaves the event loop to others while it works", async () => {
    const hash = hashSync("correct horse", 12);
    let last = performance.now();
    let longest = 0;
    const timer = setInterval(() => {
      const now = performance.now();
      longest = Math.max(longest, now - last);
      last = now;
    }, 1);
    try {
      const begun = performance.now();
      assert.equal(await verifyBcrypt("correct horse", hash), true);
      const took = performance.now() - begun;
      assert.ok(longest < took / 2, `${longest} of ${took} ms without a turn`);
    } finally {
      clearInterval(timer);
    }
  });

  it("a check by bcrypt ends when no caller waits for it any more", async () => {
    const hash = hashSync("correct horse", 4).replace("$04$", "$14$"); // one that takes long
    const gone = new AbortController();
    const check = verifyBcrypt("correct horse", hash, gone.signal);
    gone.abort(new Error("gone"));
    await assert.rejects(check, /gone/);
    await assert.rejects(verifyBcrypt("correct horse", hash, gone.signal), /gone/);
  });
});
