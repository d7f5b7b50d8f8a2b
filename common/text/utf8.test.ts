import { strict as assert } from "node:assert";
import fc from "fast-check";
import { isNebulaError } from "../errors/nebula-error.ts";
import { hasLostBytes, utf8Text, wholeSecret } from "./utf8.ts";

describe("the text of bytes", () => {
  it("decoded bytes are every text as it was", () => {
    fc.assert(fc.property(fc.string({ unit: "binary" }), (text) => utf8Text(new TextEncoder().encode(text), "it") === text.toWellFormed()));
  });

  it("bytes that are not UTF-8 are refused, by the name of the source and without the bytes", () => {
    for (const bytes of [[0xe9], [0x70, 0xe9, 0x73], [0xc3], [0xed, 0xa0, 0x80], [0xff, 0xfe, 0x70, 0]]) {
      assert.throws(
        () => utf8Text(Uint8Array.from(bytes), "--password-file secret.txt"),
        (error) =>
          isNebulaError(error, "invalid_argument") &&
          /^--password-file secret.txt holds bytes that are not UTF-8; save it as UTF-8/.test(error.message),
      );
    }
  });

  it("a decoded text in which something was lost is refused", () => {
    const decoded = new TextDecoder().decode(Uint8Array.from([0x70, 0xe9]));
    assert.throws(() => wholeSecret(decoded, "NEBULA_PASSWORD"), /^NebulaError: NEBULA_PASSWORD holds bytes that are not UTF-8/);
    assert.equal(wholeSecret("pé", "NEBULA_PASSWORD"), "pé");
    assert.equal(hasLostBytes("pé"), false);
  });
});
