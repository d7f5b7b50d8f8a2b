/** Colours of a terminal; without one each is the text as it is. */
export type Paint = Readonly<{
  red(text: string): string;
  green(text: string): string;
  yellow(text: string): string;
  dim(text: string): string;
  bold(text: string): string;
}>;

export const plainPaint: Paint = { red: same, green: same, yellow: same, dim: same, bold: same };

const ansiPaint: Paint = { red: ansi(31, 39), green: ansi(32, 39), yellow: ansi(33, 39), dim: ansi(2, 22), bold: ansi(1, 22) };

/** Every code that a colour is written with; split by it, a text has them at the odd places. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: they begin with one
export const SGR = /(\x1b\[(?:1|2|22|3[1-3]|39)m)/;

/** Colours only on a terminal, never with NO_COLOR set to anything, and never on a terminal that says it can't. */
export function paintFor(isTerminal: boolean, env: Readonly<Record<string, string | undefined>>): Paint {
  const allowed = isTerminal && (env.NO_COLOR ?? "") === "" && env.TERM !== "dumb";
  return allowed ? ansiPaint : plainPaint;
}

function same(text: string): string {
  return text;
}

function ansi(on: number, off: number): (text: string) => string {
  return (text) => (text === "" ? "" : `\x1b[${on}m${text}\x1b[${off}m`);
}
