import { styleText } from "node:util";
import { printable } from "../printable.ts";

/** A value that needs no quotes beside others. */
const PLAIN = /^[^\s"=\\]+$/;

/**
 * One entry of the log as a line for people: `12:03:04.123 warn  gateway/watch  no manager answers yet  managers=["a:1"]`,
 * with the stack of an error below it. The time is the machine's local one. No character of it takes effect on a
 * terminal, except the colour of the level where standard error is one that wants colours.
 * @param json the entry as createLog writes it elsewhere, with its line end
 */
export function readableLine(json: string): string {
  const { time, level, part, component, msg, err, ...fields } = JSON.parse(json);
  const where = component === undefined ? part : `${part}/${component}`;
  const { stack, ...error }: Readonly<Record<string, unknown>> = err ?? {};
  const values = Object.entries({ ...fields, ...(err === undefined ? {} : { error: error.message }) }).map(
    ([name, value]) => `${name}=${shown(value)}`,
  );
  const text = [`${where}  ${msg ?? ""}`, ...values].join("  ");
  const below = typeof stack === "string" ? [stack] : [];
  return `${clockTime(new Date(time))} ${colored(level)}  ${[text, ...below].map(indented).join("\n    ")}\n`;
}

/** Text of others, which may have lines of its own: each is marked as part of this entry. */
function indented(text: string): string {
  return printable(text).replaceAll("\n", "\n    ");
}

function shown(value: unknown): string {
  if (typeof value === "string") return PLAIN.test(value) ? value : JSON.stringify(value);
  return JSON.stringify(value) ?? "";
}

function clockTime(time: Date): string {
  const part = (number: number, digits = 2) => String(number).padStart(digits, "0");
  return `${part(time.getHours())}:${part(time.getMinutes())}:${part(time.getSeconds())}.${part(time.getMilliseconds(), 3)}`;
}

const COLORS = { warn: "yellow", error: "red" } as const;

function colored(level: "debug" | "info" | "warn" | "error"): string {
  const word = level.padEnd(5);
  return level === "warn" || level === "error" ? styleText(COLORS[level], word, { stream: process.stderr }) : word;
}
