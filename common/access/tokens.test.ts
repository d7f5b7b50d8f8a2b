import { strict as assert } from "node:assert";
import { newToken, tokenHash } from "./tokens.ts";

describe("a token", () => {
  it("a token is 256 random bits as base64url", () => {
    const tokens = new Set(Array.from({ length: 100 }, newToken));
    assert.equal(tokens.size, 100);
    for (const token of tokens) {
      assert.match(token, /^[A-Za-z0-9_-]{43}$/);
      assert.equal(Buffer.from(token, "base64url").length, 32);
    }
  });

  it("a token is stored as its SHA-256", () => {
    assert.equal(tokenHash("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  });
});
