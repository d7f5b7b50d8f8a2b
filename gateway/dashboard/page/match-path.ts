/** The parts of an address that a pattern names. */
export type Params = Readonly<Record<string, string>>;

/**
 * Matches the path of an address with a pattern: `/ui/devices/:id` matches `/ui/devices/till%207` with `{ id: "till 7" }`.
 * Returns undefined if it does not match.
 */
export function matchPath(pattern: string, path: string): Params | undefined {
  const [wanted, given] = [partsOf(pattern), partsOf(path)];
  if (wanted.length !== given.length) return undefined;
  const params: Record<string, string> = {};
  for (const [index, part] of wanted.entries()) {
    const text = decoded(given[index] ?? "");
    if (text === undefined) return undefined;
    if (part.startsWith(":")) params[part.slice(1)] = text;
    else if (part !== text) return undefined;
  }
  return params;
}

function partsOf(path: string): readonly string[] {
  return path.split("/").filter((part) => part !== "");
}

function decoded(part: string): string | undefined {
  try {
    return decodeURIComponent(part);
  } catch {
    return undefined; // a % that encodes nothing
  }
}
