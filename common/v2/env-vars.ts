import type { Violation } from "../errors/nebula-error.ts";
import { entryPath } from "../text/wording.ts";

export type EnvVarsFromV2 = Readonly<{ kind: "env_vars"; envVars: Record<string, string> } | { kind: "invalid"; violations: readonly Violation[] }>;

/**
 * Reads v2's env_vars: an object of scalars, or the empty list that v2 itself answers after an update without them. Values become what the original's workers give
 * their containers: true is `True`, null is empty. Values are never shown.
 */
export function envVarsFromV2(value: unknown): EnvVarsFromV2 {
  if (Array.isArray(value) && value.length === 0) return { kind: "env_vars", envVars: {} };
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    return { kind: "invalid", violations: [{ field: "env_vars", description: 'is not an object; use {"NAME": "value"}' }] };
  }
  const read = Object.entries(value).map(([name, given]) => ({ name, text: textOf(given) }));
  const violations = read.flatMap(({ name, text }): Violation[] =>
    text === undefined ? [{ field: entryPath("env_vars", name), description: "has a value that is a list or an object; use a string" }] : [],
  );
  if (violations.length > 0) return { kind: "invalid", violations };
  return { kind: "env_vars", envVars: Object.fromEntries(read.map(({ name, text = "" }) => [name, text])) };
}

function textOf(value: unknown): string | undefined {
  switch (typeof value) {
    case "string":
      return value;
    case "number":
      return String(value);
    case "boolean":
      return value ? "True" : "False"; // as Python prints it
    default:
      return value === null ? "" : undefined;
  }
}
