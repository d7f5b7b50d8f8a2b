/* Text of others (names, reasons that devices report) as it may go to a terminal or a log: no character of it takes effect, moves what stands beside it, or hides. */

/**
 * Control characters (C0, C1), marks of direction, characters without a width, tags, variation selectors, separators of lines, and halves of characters.
 * Line ends stay: they are the caller's to judge.
 */
const UNSAFE = /(?!\n)[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}]/gu;

/** The text with `\x1b`, `\u202e` and the like in place of what is unsafe; a tabulator becomes a blank. Line ends stay. */
export function printable(text: string): string {
  return text.replace(UNSAFE, (character) => {
    if (character === "\t") return " ";
    const code = character.codePointAt(0) ?? 0;
    if (code < 0x100) return `\\x${hex(code, 2)}`;
    return code < 0x10000 ? `\\u${hex(code, 4)}` : `\\u{${hex(code, 1)}}`;
  });
}

/** The same, in one line. */
export function printableLine(text: string): string {
  if (!text.includes("\n")) return printable(text);
  const lines = text.split("\n").map((line) => line.trim()); // no expression: blanks before a line end may be very many
  return printable(lines.filter((line) => line !== "").join(" "));
}

/** A value as JSON in which each unsafe character is an escape of JSON's own: parsed, it is the same value. @param indent blanks a level; absent: one line */
export function jsonText(value: unknown, indent?: number): string {
  return printableJson(JSON.stringify(value, undefined, indent));
}

/** JSON text in which each unsafe character is an escape of JSON's own. */
export function printableJson(json: string): string {
  return json.replace(UNSAFE, (character) => Array.from({ length: character.length }, (_, index) => unit(character.charCodeAt(index))).join(""));
}

/** YAML text, whose values with unsafe characters all stand in double quotes, in which each such character is an escape of YAML's own. */
export function printableYaml(yaml: string): string {
  return yaml.replace(UNSAFE, (character) => {
    const code = character.codePointAt(0) ?? 0;
    return code < 0x10000 ? unit(code) : `\\U${hex(code, 8)}`;
  });
}

/** Whether a text holds an unsafe character. */
export function isUnsafe(text: string): boolean {
  return text.search(UNSAFE) !== -1;
}

function unit(code: number): string {
  return `\\u${hex(code, 4)}`;
}

function hex(code: number, digits: number): string {
  return code.toString(16).padStart(digits, "0");
}
