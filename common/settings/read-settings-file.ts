import { parseDocument } from "yaml";
import { messageOf, type Violation } from "../errors/nebula-error.ts";

export type SettingsFile = Readonly<{ values: ReadonlyMap<string, string>; violations: readonly Violation[] }>;

/**
 * Reads the YAML of a settings file: one mapping of keys to texts, numbers, booleans, or lists of them (joined by commas).
 * @param path for the messages
 * @param unknown what to say of a key that is not known; undefined: it is known
 */
export function readSettingsFile(path: string, text: string, unknown: (key: string) => string | undefined): SettingsFile {
  const values = new Map<string, string>();
  const violations: Violation[] = [];
  const root = parse(text);
  if (root.kind === "wrong") return { values, violations: [{ field: path, description: root.reason }] };
  for (const [key, content] of Object.entries(root.content)) {
    const description = unknown(key);
    if (description !== undefined) {
      violations.push({ field: `${path}: ${key}`, description });
      continue;
    }
    const scalar = Array.isArray(content) && content.length > 0 ? joined(content) : textOf(content);
    if (scalar === undefined)
      violations.push({ field: `${path}: ${key}`, description: "is neither a text, a number, true or false, nor a list of them" });
    else values.set(key, scalar);
  }
  return { values, violations };
}

type Root = { kind: "mapping"; content: Readonly<Record<string, unknown>> } | { kind: "wrong"; reason: string };

function parse(text: string): Root {
  try {
    const document = parseDocument(text);
    const [error] = document.errors;
    if (error !== undefined) return { kind: "wrong", reason: `is no YAML: ${error.message.split("\n")[0]}` };
    const content: unknown = document.toJS({ maxAliasCount: 0 });
    if (content === null || content === undefined) return { kind: "mapping", content: {} };
    if (typeof content !== "object" || Array.isArray(content))
      return { kind: "wrong", reason: "is no mapping of keys to values, as cache_time: 10s" };
    return { kind: "mapping", content: Object.fromEntries(Object.entries(content)) };
  } catch (error) {
    return { kind: "wrong", reason: `is no YAML: ${messageOf(error)}` };
  }
}

function textOf(content: unknown): string | undefined {
  return typeof content === "string" || typeof content === "number" || typeof content === "boolean" ? String(content) : undefined;
}

function joined(items: readonly unknown[]): string | undefined {
  const texts = items.map(textOf);
  return texts.includes(undefined) ? undefined : texts.join(",");
}
