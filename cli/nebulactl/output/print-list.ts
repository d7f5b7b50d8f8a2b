import type { JsonValue } from "@bufbuild/protobuf";
import { assertNever } from "../../../common/errors/assert-never.ts";
import { jsonText } from "../../../common/printable.ts";
import type { CommandContext } from "../command/context.ts";
import { type Cell, columnWidths, fittedWidths, renderRows, renderTable } from "./table.ts";

/** How the items of a list are shown. */
export type ListView<T> = Readonly<{
  /** What they are, for a list without any: `apps`. */
  plural: string;
  header: readonly string[];
  row(item: T): readonly Cell[];
  json(item: T): JsonValue | Promise<JsonValue>;
}>;

type Printer = Pick<CommandContext, "output" | "paint"> & Readonly<{ io: Pick<CommandContext["io"], "out" | "err" | "columns"> }>;

/** A table holds this many rows before the first is printed; later ones keep the columns where they fit. */
const ROWS_AT_ONCE = 1000;

/** Prints items as they come: a table, one JSON list, or one YAML list. Memory is bounded however many there are. */
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
    case "table": {
      let widths: number[] | undefined;
      let rows: (readonly Cell[])[] = [];
      const flush = () => {
        if (rows.length === 0) return;
        const wanted = columnWidths(rows, widths ?? view.header.map(({ length }) => length));
        io.out(
          widths === undefined
            ? renderTable(view.header, rows, paint, io.columns)
            : renderRows(rows, fittedWidths(wanted, view.header, io.columns), paint),
        );
        widths ??= fittedWidths(wanted, view.header, io.columns);
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
