import { strict as assert } from "node:assert";
import { parse } from "yaml";
import { plainPaint } from "./paint.ts";
import { type ListView, printList } from "./print-list.ts";
import type { OutputFormat } from "./render-value.ts";

const view: ListView<number> = {
  plural: "numbers",
  header: ["N", "SQUARE"],
  row: (n) => [String(n), String(n * n)],
  json: (n) => ({ n, square: n * n }),
};

async function printed(count: number, output: OutputFormat, { columns, view: of = view }: { columns?: number; view?: ListView<number> } = {}) {
  const writes: string[] = [];
  let err = "";
  const io = {
    columns,
    out: (text: string) => void writes.push(text),
    err(text: string) {
      err += text;
    },
  };
  await printList(
    Array.from({ length: count }, (_, n) => n),
    of,
    { output, io, paint: plainPaint },
  );
  return { out: writes.join(""), writes: writes.length, err };
}

describe("a printed list", () => {
  it("a printed list is a table, which is printed a thousand rows at a time under one header", async () => {
    const { out, writes, err } = await printed(2500, "table");
    const lines = out.trimEnd().split("\n");
    assert.deepEqual([lines.length, writes, err], [2501, 3, ""]);
    assert.equal(lines[0], "N    SQUARE");
    assert.match(lines[2500] ?? "", /^2499 +6245001$/);
  });

  it("a printed list is one JSON list, or one YAML list", async () => {
    assert.deepEqual(JSON.parse((await printed(3, "json")).out), [0, 1, 2].map(view.json));
    assert.deepEqual(parse((await printed(3, "yaml")).out), [0, 1, 2].map(view.json));
  });

  it("a printed list is cut to the terminal as a table, and whole as a wide one", async () => {
    const wordy: ListView<number> = { ...view, header: ["N", "WORDS"], row: (n) => [String(n), `${"word ".repeat(30)}${n}`] };
    const table = (await printed(2, "table", { columns: 40, view: wordy })).out.trimEnd().split("\n");
    assert.deepEqual([table[0], table.length, table.every((line) => line.length <= 40)], ["N  WORDS", 3, true]);
    assert.match(table[2] ?? "", /^1 {2}(?:word )+.*…$/);
    for (const columns of [40, undefined]) {
      const wide = (await printed(2, "wide", { ...(columns === undefined ? {} : { columns }), view: wordy })).out;
      assert.equal(wide, `N  WORDS\n0  ${"word ".repeat(30)}0\n1  ${"word ".repeat(30)}1\n`);
    }
  });

  it("a printed list without items is an empty list to a program, and nothing on standard output to a person", async () => {
    assert.deepEqual([(await printed(0, "json")).out, (await printed(0, "yaml")).out], ["[]\n", "[]\n"]);
    for (const output of ["table", "wide"] as const) assert.deepEqual(await printed(0, output), { out: "", writes: 0, err: "no numbers\n" });
  });
});
