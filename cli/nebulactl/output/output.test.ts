import { strict as assert } from "node:assert";
import fc from "fast-check";
import { printable, printableLine } from "../../../common/printable.ts";
import { formatAge } from "../../../common/text/age.ts";
import { paintFor, plainPaint } from "./paint.ts";
import { renderFields, renderTable } from "./table.ts";

describe("a table", () => {
  it("a table aligns its columns, and no line ends in blanks", () => {
    assert.equal(
      renderTable(["NAME", "REVISION", "IMAGE"], [["web", "42", "shop:1.5"], ["a-longer-name", "7", ""], ["x"]], plainPaint),
      "NAME           REVISION  IMAGE\nweb            42        shop:1.5\na-longer-name  7\nx\n",
    );
  });

  it("a table has the same layout with colours", () => {
    const rows = [["web", { text: "failed", color: "red" as const }, "x"]];
    const painted = renderTable(["NAME", "STATE", "MORE"], rows, paintFor(true, {}));
    // biome-ignore lint/suspicious/noControlCharactersInRegex: the colours are what is taken away
    assert.equal(painted.replace(/\x1b\[\d+m/g, ""), renderTable(["NAME", "STATE", "MORE"], rows, plainPaint));
    assert.ok(painted.includes("\x1b[31mfailed\x1b[39m"));
  });

  it("a table is one line a row, for any text in the cells", () => {
    const cells = fc.array(fc.array(fc.string({ unit: "binary" }), { minLength: 2, maxLength: 2 }), { maxLength: 5 });
    fc.assert(fc.property(cells, (rows) => renderTable(["A", "B"], rows, plainPaint).split("\n").length === rows.length + 2));
  });
});

describe("fields", () => {
  it("fields keep a value of several lines in its column", () => {
    assert.equal(
      renderFields(
        [
          ["name", "web"],
          ["problems", "one\ntwo"],
          ["empty", ""],
        ],
        plainPaint,
      ),
      "name      web\nproblems  one\n          two\nempty\n",
    );
  });
});

describe("text of others", () => {
  it("a text of others cannot control the terminal", () => {
    assert.equal(printable("a\x1b[2Jb\rc\u202e\td\ne"), "a\\x1b[2Jb\\x0dc\\u202e d\ne");
    assert.equal(printableLine("a \n b\r\nc"), "a b c");
  });
});

describe("colours", () => {
  it("colours are for a terminal without NO_COLOR", () => {
    assert.notEqual(paintFor(true, {}).red("x"), "x");
    assert.notEqual(paintFor(true, { NO_COLOR: "" }).red("x"), "x");
    for (const paint of [paintFor(false, {}), paintFor(true, { NO_COLOR: "1" }), paintFor(true, { TERM: "dumb" })]) assert.equal(paint.red("x"), "x");
  });
});

describe("an age", () => {
  it("an age has one unit, rounded down", () => {
    const ages = [-5, 0, 59_999, 60_000, 3_599_999, 3_600_000, 47 * 3_600_000, 48 * 3_600_000, 10 * 86_400_000].map(formatAge);
    assert.deepEqual(ages, ["0 s", "0 s", "59 s", "1 min", "59 min", "1 h", "47 h", "2 d", "10 d"]);
  });
});
