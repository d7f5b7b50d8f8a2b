import { printable, printableLine } from "../../../common/printable.ts";
import { cutToWidth, displayWidth } from "./display-width.ts";
import type { Paint } from "./paint.ts";

/** What others wrote is shown up to here, characters; JSON and YAML have the whole. */
const LONGEST_CELL = 500;
const LONGEST_LINE = 4000;
/** The lines of one value, at most. */
const MOST_LINES = 50;

/** One cell: its text, and a colour, which takes no room in the layout. */
export type Cell = string | Readonly<{ text: string; color: keyof Paint }>;

/** Rows under a header, columns aligned on the left, two blanks between them, no blanks at the ends of lines. @param columns of the terminal; absent: nothing is cut */
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

/** The widths that the columns need, none below `atLeast`. */
export function columnWidths(rows: readonly (readonly Cell[])[], atLeast: readonly number[]): number[] {
  return atLeast.map((least, column) => rows.reduce((width, row) => Math.max(width, displayWidth(cellText(row[column]))), least));
}

/** The narrowest that a column is made, columns of the terminal. */
const NARROWEST = 8;

/** The widths of a table that is to fit: the widest columns are made narrower, never below their header or a few characters. */
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

/** Rows alone, for a table that goes on; cells that are wider than their column are cut. */
export function renderRows(rows: readonly (readonly Cell[])[], widths: readonly number[], paint: Paint): string {
  return rows
    .map((row) => {
      const texts = widths.map((width, column) => cutToWidth(cellText(row[column]), width));
      return `${aligned(texts, widths, (text, column) => colored(text, row[column], paint))}\n`;
    })
    .join("");
}

/** Names on the left, values on the right; a value of several lines stays in its column. */
export function renderFields(fields: readonly (readonly [name: string, value: Cell])[], paint: Paint): string {
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
  return cell === undefined || typeof cell === "string" ? text : paint[cell.color](text);
}

function textOf(cell: Cell): string {
  return typeof cell === "string" ? cell : cell.text;
}

/** What a cell shows: one line of bounded length. */
function cellText(cell: Cell | undefined): string {
  return cell === undefined ? "" : cut(printableLine(cut(textOf(cell), LONGEST_CELL)), LONGEST_CELL);
}

/** The lines that a value shows: a bounded number, each of bounded length. */
function valueLines(cell: Cell): string[] {
  const text = cut(textOf(cell), LONGEST_LINE * MOST_LINES);
  const lines = text.split("\n", MOST_LINES + 1).map((line) => cut(printable(line), LONGEST_LINE));
  return lines.length <= MOST_LINES ? lines : [...lines.slice(0, MOST_LINES), "… more lines; -o json shows all"];
}

/** A text of at most so many characters, a mark at its end where it was longer. */
function cut(text: string, most: number): string {
  return text.length <= most ? text : `${text.slice(0, most - 1).replace(/[\ud800-\udbff]$/, "")}…`;
}
