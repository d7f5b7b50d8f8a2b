/** The names that one sentence shows. */
const SHOWN = 10;

/** `a, b and c`; of many names the first ones, and how many more there are. */
export function listed(names: readonly string[]): string {
  if (names.length > SHOWN) return `${names.slice(0, SHOWN).join(", ")} and ${names.length - SHOWN} more`;
  return names.length < 2 ? names.join("") : `${names.slice(0, -1).join(", ")} and ${names.at(-1)}`;
}
