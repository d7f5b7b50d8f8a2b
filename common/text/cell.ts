/** Texts with a colour, as terminals and pages show them: green is well, yellow is on its way or unknown, red is wrong. */
export type Color = "red" | "green" | "yellow" | "dim" | "bold";

/** One cell of a table: its text, and a colour, which takes no columns. */
export type Cell = string | Readonly<{ text: string; color: Color }>;

/** A line of what is known of one thing. */
export type Field = readonly [name: string, value: Cell];

export function cellText(cell: Cell): string {
  return typeof cell === "string" ? cell : cell.text;
}

/** Undefined: the colour of any text. */
export function cellColor(cell: Cell | undefined): Color | undefined {
  return cell === undefined || typeof cell === "string" ? undefined : cell.color;
}

export function red(text: string): Cell {
  return { text, color: "red" };
}
