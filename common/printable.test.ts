import { strict as assert } from "node:assert";
import fc from "fast-check";
import { parse } from "yaml";
import { isUnsafe, jsonText, printable, printableLine } from "./printable.ts";
import { yamlText } from "./resources/yaml-text.ts";
import { cpuMs } from "./testing/cpu-time.ts";

/** One of each kind: C0, DEL, C1, marks of direction, zero width, soft hyphen, a separator of lines, a tag, a variation selector, half a pair. */
const UNSAFE = [
  "\x00",
  "\x1b",
  "\r",
  "\x7f",
  "\x9b",
  "\u061c",
  "\u200e",
  "\u202e",
  "\u2066",
  "\u200b",
  "\u200d",
  "\u2060",
  "\ufeff",
  "\u00ad",
  "\u2028",
  "\u{e0041}",
  "\ufe0f",
  "\u{e0100}",
  "\ud800",
];

const texts = fc.string({
  unit: fc.oneof(fc.constantFrom(...UNSAFE, "\n", "\t", " ", ":", '"', "#", "-", "é", "漢", "😀"), fc.string({ unit: "binary", maxLength: 1 })),
});
const values = fc.letrec<{ value: unknown }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 3 },
    texts,
    fc.integer(),
    fc.boolean(),
    fc.array(tie("value"), { maxLength: 3 }),
    fc.dictionary(texts, tie("value"), { maxKeys: 3, noNullPrototype: true }),
  ),
})).value;

describe("text of others", () => {
  it("a text of others shows each unsafe character as an escape", () => {
    for (const character of UNSAFE) {
      assert.ok(isUnsafe(`a${character}b`), JSON.stringify(character));
      assert.match(printable(`a${character}b`), /^a\\(x[0-9a-f]{2}|u[0-9a-f]{4}|u\{[0-9a-f]+\})b$/);
    }
    assert.equal(printable("a\x1b[2Jb\rc\u202e\td\ne\u{e0041}"), "a\\x1b[2Jb\\x0dc\\u202e d\ne\\u{e0041}");
  });

  it("a text of others keeps letters of all scripts, blanks and line ends", () => {
    const plain = "é 漢字 עברית\n  😀 \u00a0|";
    assert.equal(printable(plain), plain);
    assert.equal(isUnsafe(plain), false);
  });

  it("a text of others becomes one line, in linear time", () => {
    assert.equal(printableLine("a \n b\r\n\n c"), "a b c");
    const worst = `${" ".repeat(128 * 1024)}x\n${"\t".repeat(128 * 1024)}x`;
    assert.ok(cpuMs(() => assert.ok(printableLine(worst).endsWith("x x"))) < 1000, "a quarter of a megabyte of blanks is one pass");
  });

  it("a text of others is the same value after JSON and after YAML, and neither holds an unsafe character", () => {
    fc.assert(
      fc.property(values, (value) => {
        const [json, yaml] = [jsonText(value, 2), yamlText(value)];
        assert.equal(isUnsafe(json), false);
        assert.equal(isUnsafe(yaml), false);
        assert.deepEqual(JSON.parse(json), value);
        assert.deepEqual(parse(yaml), value);
      }),
      { numRuns: 1000 },
    );
  });

  it("a text of others is one line a value in YAML, of any length and any number of lines", () => {
    const value = { reason: `one\ntwo\n${"long ".repeat(100)}\n`, list: ["a\nb"] };
    assert.equal(yamlText(value).trimEnd().split("\n").length, 3);
  });
});
