import { strict as assert } from "node:assert";
import fc from "fast-check";
import { LONGEST_REPEATED, quote, shown } from "./quote.ts";

/** Characters of one unit of UTF-16, and of two. */
const anyText = fc
  .tuple(fc.string({ unit: fc.constantFrom("a", "é", "😀", "𝒳"), maxLength: 200 }), fc.integer({ min: 1, max: 4 }))
  .map(([text, times]) => text.repeat(times));

describe("a caller's text in an answer", () => {
  it("is its first 80 characters, of any width, or the whole of a shorter one", () => {
    fc.assert(
      fc.property(anyText, (text) => {
        const characters = [...text];
        const expected = characters.length > LONGEST_REPEATED ? `${characters.slice(0, LONGEST_REPEATED).join("")}...` : text;
        assert.equal(shown(text), expected);
        assert.equal(quote(text), JSON.stringify(expected));
      }),
    );
    for (const character of ["a", "😀"]) assert.equal(shown(character.repeat(10_000)), `${character.repeat(LONGEST_REPEATED)}...`);
  });
});
