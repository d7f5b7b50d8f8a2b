/** The longest part of a caller's text that an answer repeats, in characters. */
export const LONGEST_REPEATED = 80;

/** The beginning of a caller's text, as much as an answer repeats of it. Linear in what is shown, not in the text. */
export function shown(text: string): string {
  // One unit more than the longest text of LONGEST_REPEATED characters, which may have two units each.
  const characters = text.length > LONGEST_REPEATED ? [...text.slice(0, 2 * LONGEST_REPEATED + 1)] : [];
  return characters.length > LONGEST_REPEATED ? `${characters.slice(0, LONGEST_REPEATED).join("")}...` : text;
}

/** A value as a message shows it: in quotes, control characters escaped, a long one cut. Values of environment variables are never shown. */
export function quote(value: string): string {
  return JSON.stringify(shown(value));
}

/** A word of a command line, quoted for a shell where it has characters that mean something there. */
export function shellWord(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}

/** Path of one entry of a map: `env_vars.KEY`, a long key cut. */
export function entryPath(field: string, key: string): string {
  return `${field}.${shown(key)}`;
}

/** `Restart` of `restart`. */
export function capitalized(text: string): string {
  return `${text.slice(0, 1).toUpperCase()}${text.slice(1)}`;
}

/** The names that one sentence shows. */
const SHOWN = 10;

/** `a, b and c`; of many names the first ones, and how many more there are. */
export function listed(names: readonly string[]): string {
  if (names.length > SHOWN) return `${names.slice(0, SHOWN).join(", ")} and ${names.length - SHOWN} more`;
  return names.length < 2 ? names.join("") : `${names.slice(0, -1).join(", ")} and ${names.at(-1)}`;
}

/** `1 device`, `3 devices`. @param what a noun whose plural ends in s */
export function counted(number: number | bigint, what: string): string {
  return `${number} ${what}${Number(number) === 1 ? "" : "s"}`;
}

/** The known name that somebody most likely meant; undefined when none is close. Case, '-' and '_' count for nothing. */
export function nearestName(given: string, known: Iterable<string>): string | undefined {
  const wanted = plain(given);
  let best: { name: string; distance: number } | undefined;
  for (const name of known) {
    const distance = editDistance(wanted, plain(name));
    if (distance < (best?.distance ?? Number.POSITIVE_INFINITY)) best = { name, distance };
  }
  if (best === undefined || best.distance > Math.max(1, Math.floor(wanted.length / 3))) return undefined;
  return best.name;
}

function plain(text: string): string {
  return text.slice(0, 64).toLowerCase().replaceAll(/[-_]/g, "");
}

/** Levenshtein's distance, by rows (Wagner and Fischer 1974). */
function editDistance(from: string, to: string): number {
  let row = Array.from({ length: to.length + 1 }, (_, index) => index);
  for (let i = 1; i <= from.length; i++) {
    const next = [i];
    for (let j = 1; j <= to.length; j++) {
      const replaced = (row[j - 1] ?? 0) + (from[i - 1] === to[j - 1] ? 0 : 1);
      next.push(Math.min(replaced, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1));
    }
    row = next;
  }
  return row.at(-1) ?? 0;
}
