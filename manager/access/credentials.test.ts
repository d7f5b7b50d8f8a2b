import { strict as assert } from "node:assert";
import fc from "fast-check";
import { newToken } from "../../common/access/tokens.ts";
import { isUnguessable, tokensOf } from "./credentials.ts";

const text = fc.string({ unit: fc.constantFrom(..."abcXYZ019-_.~+/äß "), minLength: 16, maxLength: 60 });

describe("a Bearer credential", () => {
  it("a Bearer credential stands for itself, and for the text that it is the base64 of, padded or not", () => {
    fc.assert(
      fc.property(text, (token) => {
        assert.equal(tokensOf(token)[0], token);
        const encoded = Buffer.from(token, "utf8").toString("base64");
        assert.deepEqual(tokensOf(encoded), [encoded, token]);
        const bare = encoded.replace(/=+$/, "");
        assert.deepEqual(tokensOf(bare), [bare, token]);
      }),
    );
  });

  it("a Bearer credential of 256 random bits stands for itself alone: one lookup", () => {
    for (let round = 0; round < 1000; round++) {
      const token = newToken();
      assert.deepEqual(tokensOf(token), [token]);
    }
  });

  it("a short token can be guessed, in any encoding", () => {
    const token = newToken();
    assert.ok(isUnguessable(token) && isUnguessable(Buffer.from(token).toString("base64")));
    const short = "a-token-of-33-characters-in-clear";
    assert.ok(!isUnguessable(short) && !isUnguessable(Buffer.from(short).toString("base64")));
  });
});
