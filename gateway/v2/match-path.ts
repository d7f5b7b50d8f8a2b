import type { HttpMethod, Operation } from "./operation.ts";

/** The operations at a path of REST v2. */
export type PathMatch = Readonly<{
  /** As the operations write it: `/apps/{app_name}`. */
  template: string;
  parameters: ReadonlyMap<string, string>;
  operations: ReadonlyMap<HttpMethod, Operation>;
}>;

type Entry = Readonly<{ template: string; parts: readonly string[]; operations: Map<HttpMethod, Operation> }>;

/** Finds the operations at a path below /api/v2; undefined if there are none. A path with a parameter never hides one without. */
export function createPathMatcher(operations: readonly Operation[]): (path: string) => PathMatch | undefined {
  const entries = new Map<string, Entry>();
  for (const operation of operations) {
    const { path, method, id } = operation;
    const entry = entries.get(path) ?? { template: path, parts: path.split("/"), operations: new Map() };
    if (entry.operations.has(method)) throw new TypeError(`${id} is a second operation at ${method} ${path}`);
    entry.operations.set(method, operation);
    entries.set(path, entry);
  }
  const inOrder = [...entries.values()].toSorted((a, b) => parameterCount(a) - parameterCount(b));

  return (path) => {
    const parts = path.split("/").map(decoded);
    for (const { template, parts: wanted, operations } of inOrder) {
      const parameters = parametersOf(wanted, parts);
      if (parameters !== undefined) return { template, parameters, operations };
    }
    return undefined;
  };
}

function parameterCount({ parts }: Entry): number {
  return parts.filter(isParameter).length;
}

function isParameter(part: string): boolean {
  return part.startsWith("{");
}

function parametersOf(wanted: readonly string[], parts: readonly (string | undefined)[]): ReadonlyMap<string, string> | undefined {
  if (wanted.length !== parts.length) return undefined;
  const parameters = new Map<string, string>();
  for (const [index, want] of wanted.entries()) {
    const part = parts[index];
    if (part === undefined) return undefined;
    if (isParameter(want) && part !== "") parameters.set(want.slice(1, -1), part);
    else if (part !== want) return undefined;
  }
  return parameters;
}

/** undefined: the text is not percent-encoded UTF-8. */
function decoded(part: string): string | undefined {
  try {
    return decodeURIComponent(part);
  } catch {
    return undefined;
  }
}
