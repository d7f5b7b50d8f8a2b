import type { JsonValue } from "@bufbuild/protobuf";
import { assertNever } from "../../../common/errors/assert-never.ts";
import { jsonText } from "../../../common/printable.ts";
import type { Cell } from "../../../common/text/cell.ts";
import type { Paint } from "./paint.ts";
import type { OutputFormat } from "./render-value.ts";
import { columnWidths, fittedWidths, renderRows, renderTable } from "./table.ts";

/** The view of the items of a list. */
export type ListView<T> = Readonly<{
  /** The name of the items, for an empty list: `apps`. */
  plural: string;
  header: readonly string[];
  row(item: T): readonly Cell[];
  json(item: T): JsonValue | Promise<JsonValue>;
}>;

/**
 * Where a list is printed, and how. `columns`: the width of the terminal; undefined if the output is not a terminal.
 */
type Printer = Readonly<{
  output: OutputFormat;
  paint: Paint;
  io: Readonly<{ out(text: string): void; err(text: string): void; columns: number | undefined }>;
}>;

/** Rows of a table that are collected before they are printed; later rows keep the column widths of the first. */
const ROWS_AT_ONCE = 1000;

/**
 * Prints items as they arrive: a table, one JSON list, or one YAML list. Memory is bounded, regardless of their number.
 */
export async function printList<T>(items: AsyncIterable<T> | Iterable<T>, view: ListView<T>, { output, io, paint }: Printer): Promise<void> {
  switch (output) {
    case "json": {
      let count = 0;
      for await (const item of items) io.out(`${count++ === 0 ? "[\n" : ",\n"}${jsonText(await view.json(item))}`);
      io.out(count === 0 ? "[]\n" : "\n]\n");
      return;
    }
    case "yaml": {
      const { yamlText } = await import("../../../common/resources/yaml-text.ts");
      let count = 0;
      for await (const item of items) {
        io.out(yamlText([await view.json(item)]));
        count++;
      }
      if (count === 0) io.out("[]\n");
      return;
    }
    case "table":
    case "wide": {
      const columns = output === "wide" ? undefined : io.columns;
      let widths: number[] | undefined;
      let rows: (readonly Cell[])[] = [];
      const flush = () => {
        if (rows.length === 0) return;
        const wanted = columnWidths(rows, widths ?? view.header.map(({ length }) => length));
        io.out(
          widths === undefined ? renderTable(view.header, rows, paint, columns) : renderRows(rows, fittedWidths(wanted, view.header, columns), paint),
        );
        widths ??= fittedWidths(wanted, view.header, columns);
        rows = [];
      };
      for await (const item of items) {
        rows.push(view.row(item));
        if (rows.length === ROWS_AT_ONCE) flush();
      }
      flush();
      if (widths === undefined) io.err(`no ${view.plural}\n`);
      return;
    }
    default:
      assertNever(output);
  }
}
