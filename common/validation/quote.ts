/** The longest part of a value that a message repeats, in characters. */
const LONGEST = 80;

/** A value as a message shows it: in quotes, control characters escaped, a long one cut. Values of environment variables are never shown. */
export function quote(value: string): string {
  const characters = value.length > LONGEST ? [...value.slice(0, 2 * LONGEST)] : [];
  return JSON.stringify(characters.length > LONGEST ? `${characters.slice(0, LONGEST).join("")}...` : value);
}

/** Path of one entry of a map: `env_vars.KEY`, a long key cut. */
export function entryPath(field: string, key: string): string {
  return `${field}.${key.length > LONGEST ? `${[...key.slice(0, LONGEST)].join("")}...` : key}`;
}
