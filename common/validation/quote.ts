/** The longest part of a caller's text that an answer repeats, in characters. */
export const LONGEST_REPEATED = 80;

/** The beginning of a caller's text, as much as an answer repeats of it. Linear in what is shown, not in the text. */
export function shown(text: string): string {
  // One unit more than the longest of so many characters, which may have two units each.
  const characters = text.length > LONGEST_REPEATED ? [...text.slice(0, 2 * LONGEST_REPEATED + 1)] : [];
  return characters.length > LONGEST_REPEATED ? `${characters.slice(0, LONGEST_REPEATED).join("")}...` : text;
}

/** A value as a message shows it: in quotes, control characters escaped, a long one cut. Values of environment variables are never shown. */
export function quote(value: string): string {
  return JSON.stringify(shown(value));
}

/** Path of one entry of a map: `env_vars.KEY`, a long key cut. */
export function entryPath(field: string, key: string): string {
  return `${field}.${shown(key)}`;
}
