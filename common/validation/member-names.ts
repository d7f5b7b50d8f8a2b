import type { Violation } from "../errors/nebula-error.ts";
import { validateName } from "./name.ts";
import { quote } from "./quote.ts";

/** The most names in a list of members. */
export const MOST_MEMBERS = 1000;

/** What is wrong with a list of names of others: each is a name, and stands in it once. Whether there is such a thing is for the store to say. */
export function validateMembers(field: string, names: readonly string[]): Violation[] {
  if (names.length > MOST_MEMBERS) return [{ field, description: `has ${names.length} names; at most ${MOST_MEMBERS} would do` }];
  const seen = new Map<string, number>();
  return names.flatMap((name, index) => {
    const path = `${field}[${index}]`;
    const before = seen.get(name);
    if (before !== undefined) return [{ field: path, description: `${quote(name)} is named by ${field}[${before}] already; once is enough` }];
    seen.set(name, index);
    return validateName(name, path);
  });
}
