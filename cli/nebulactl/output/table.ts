import { printable, printableLine } from "../../../common/printable.ts";
import { type Cell, cellColor, cellText, type Field } from "../../../common/text/cell.ts";
import { cutToWidth, displayWidth } from "./display-width.ts";
import type { Paint } from "./paint.ts";

/** Texts of others are cut to this length in tables, characters; JSON and YAML hold them whole. */
const LONGEST_CELL = 500;
const LONGEST_LINE = 4000;
/** The most lines of one value. */
const MOST_LINES = 50;

/**
 * Rows under a header: columns aligned on the left, two blanks between them, no trailing blanks.
 * @param columns of the terminal; without it nothing is cut
 */
export function renderTable(header: readonly string[], rows: readonly (readonly Cell[])[], paint: Paint, columns?: number): string {
  const widths = fittedWidths(
    columnWidths(
      rows,
      header.map(({ length }) => length),
    ),
    header,
    columns,
  );
  return `${aligned(header, widths, paint.dim)}\n${renderRows(rows, widths, paint)}`;
}

/** The widths that the columns need, each at least that of `atLeast`. */
export function columnWidths(rows: readonly (readonly Cell[])[], atLeast: readonly number[]): number[] {
  return atLeast.map((least, column) => rows.reduce((width, row) => Math.max(width, displayWidth(shownText(row[column]))), least));
}

/** The narrowest a column gets, columns of the terminal. */
const NARROWEST = 8;

/** The widths at which a table fits the terminal: narrows the widest columns, never below their header or NARROWEST. */
export function fittedWidths(widths: readonly number[], header: readonly string[], columns: number | undefined): number[] {
  const fitted = [...widths];
  if (columns === undefined) return fitted;
  const least = header.map((title) => Math.max(NARROWEST, title.length));
  for (let over = fitted.reduce((sum, width) => sum + width + 2, -2) - columns; over > 0; over--) {
    const widest = fitted.reduce(
      (best, width, column) => (width > (least[column] ?? 0) && width > (fitted[best] ?? 0) ? column : best),
      fitted.findIndex((width, column) => width > (least[column] ?? 0)),
    );
    if (widest === -1) break;
    fitted[widest] = (fitted[widest] ?? 0) - 1;
  }
  return fitted;
}

/** Rows without a header, to continue a table; cells wider than their column are cut. */
export function renderRows(rows: readonly (readonly Cell[])[], widths: readonly number[], paint: Paint): string {
  return rows
    .map((row) => {
      const texts = widths.map((width, column) => cutToWidth(shownText(row[column]), width));
      return `${aligned(texts, widths, (text, column) => colored(text, row[column], paint))}\n`;
    })
    .join("");
}

/** Names on the left, values on the right; a value of several lines stays in its column. */
export function renderFields(fields: readonly Field[], paint: Paint): string {
  const width = Math.max(0, ...fields.map(([name]) => name.length));
  const lines = fields.flatMap(([name, cell]) => {
    const values = valueLines(cell);
    const color = (text: string, column: number) => (column === 0 ? paint.dim(text) : colored(text, cell, paint));
    return values.map((value, index) => aligned([index === 0 ? name : "", value], [width, 0], color));
  });
  return lines.map((line) => `${line}\n`).join("");
}

function aligned(texts: readonly string[], widths: readonly number[], color: (text: string, column: number) => string): string {
  const last = texts.findLastIndex((text) => text !== "");
  return texts
    .slice(0, last + 1)
    .map((text, column) => color(text, column) + (column === last ? "" : " ".repeat(Math.max(0, (widths[column] ?? 0) - displayWidth(text)) + 2)))
    .join("");
}

function colored(text: string, cell: Cell | undefined, paint: Paint): string {
  const color = cellColor(cell);
  return color === undefined ? text : paint[color](text);
}

/** The text of a cell: one line of bounded length. */
function shownText(cell: Cell | undefined): string {
  return cell === undefined ? "" : cut(printableLine(cut(cellText(cell), LONGEST_CELL)), LONGEST_CELL);
}

/** The lines of a value: a bounded number, each of bounded length. */
function valueLines(cell: Cell): string[] {
  const text = cut(cellText(cell), LONGEST_LINE * MOST_LINES);
  const lines = text.split("\n", MOST_LINES + 1).map((line) => cut(printable(line), LONGEST_LINE));
  return lines.length <= MOST_LINES ? lines : [...lines.slice(0, MOST_LINES), "… more lines; -o json shows all"];
}

/** Cuts a text to at most `most` characters, with `…` at its end if it was longer. */
function cut(text: string, most: number): string {
  return text.length <= most ? text : `${text.slice(0, most - 1).replace(/[\ud800-\udbff]$/, "")}…`;
}
