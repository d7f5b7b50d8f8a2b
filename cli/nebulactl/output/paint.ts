import { styleText } from "node:util";
import type { Color } from "../../../common/text/cell.ts";

/** Styles of a terminal. Each function returns its text as it is where styles are off. */
export type Paint = Readonly<Record<Color, (text: string) => string>>;

export const plainPaint: Paint = { red: same, green: same, yellow: same, dim: same, bold: same };

const terminalPaint: Paint = { red: styled("red"), green: styled("green"), yellow: styled("yellow"), dim: styled("dim"), bold: styled("bold") };

/** Matches each escape code that a style writes; a text split by it has the codes at the odd indexes. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: an escape code begins with one
export const STYLE_CODE = /(\x1b\[(?:1|2|22|3[1-3]|39)m)/;

/** Styles only on a terminal, unless NO_COLOR is set or TERM is `dumb`. */
export function paintFor(isTerminal: boolean, env: Readonly<Record<string, string | undefined>>): Paint {
  const allowed = isTerminal && (env.NO_COLOR ?? "") === "" && env.TERM !== "dumb";
  return allowed ? terminalPaint : plainPaint;
}

function same(text: string): string {
  return text;
}

function styled(style: Color): (text: string) => string {
  // The caller decides whether styles are on: styleText would look at this process's own output and environment.
  return (text) => (text === "" ? "" : styleText(style, text, { validateStream: false }));
}
