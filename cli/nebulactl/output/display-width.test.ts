import { strict as assert } from "node:assert";
import { cutToWidth, displayWidth, wrapWords } from "./display-width.ts";
import { plainPaint } from "./paint.ts";
import { renderTable } from "./table.ts";

describe("the width of a text", () => {
  it("the width of a text is that of a terminal: wide characters take two columns, marks none", () => {
    assert.deepEqual(["abc", "é", "e\u0301", "漢字", "한글", "😀", "ｆ"].map(displayWidth), [3, 1, 1, 4, 4, 2, 2]);
    assert.deepEqual([cutToWidth("漢字漢字", 5), cutToWidth("abcdef", 6), cutToWidth("abcdefg", 6)], ["漢字…", "abcdef", "abcde…"]);
  });

  it("a text wraps at blanks and never breaks a word", () => {
    assert.deepEqual(wrapWords("one two three", 7), ["one two", "three"]);
    assert.deepEqual(wrapWords("a-very-long-word b", 5), ["a-very-long-word", "b"]);
  });
});

describe("a table on a terminal", () => {
  const rows = [
    ["pos-1", "漢字", "x".repeat(100), "y".repeat(30)],
    ["pos-22", "a", "short", "z"],
  ];
  const header = ["DEVICE", "GROUP", "PROBLEMS", "MORE"];

  it("a table on a terminal fits its columns: the widest is cut with a mark, and wide characters stay aligned", () => {
    const lines = renderTable(header, rows, plainPaint, 60).trimEnd().split("\n");
    assert.ok(
      lines.every((line) => displayWidth(line) <= 60),
      lines.join("\n"),
    );
    assert.match(lines[1] ?? "", /^pos-1 {3}漢字 {3}x+… {2}y+…?$/);
    const column = (line = "", text: string) => displayWidth(line.slice(0, line.indexOf(text)));
    assert.equal(column(lines[1], "x"), column(lines[2], "short"));
    assert.equal(column(lines[0], "PROBLEMS"), column(lines[2], "short"));
  });

  it("a table in a pipe is whole", () => {
    assert.ok(renderTable(header, rows, plainPaint).includes("x".repeat(100)));
  });
});
