import type { JsonValue } from "@bufbuild/protobuf";

/** The right that a name without a level stands for: the smaller one. */
const DEFAULT_LEVEL = "ro";

/**
 * A list as the original's CLI sends it: CSV in one text, where `""` and `[]` are the empty list; or a list of one such text, which
 * it makes of an empty flag. Any other value is returned as it is.
 */
export function listAsSent(value: JsonValue): JsonValue {
  if (typeof value === "string") return itemsOf(value);
  if (Array.isArray(value) && value.length === 1 && typeof value[0] === "string" && itemsOf(value[0]).length === 0) return [];
  return value;
}

/**
 * A permission map as the original's CLI sends it: `web:rw,db:ro` in one text, where `""`, `[]` and `{}` are the empty map, and a name
 * without a level has the smaller right. Any other value is returned as it is.
 */
export function permissionsAsSent(value: JsonValue): JsonValue {
  if (typeof value !== "string") return value;
  if (value.trim() === "{}") return {};
  return permissionsOf(itemsOf(value));
}

/** The map of `web:rw` and `web`; names hold no colon. */
export function permissionsOf(items: readonly string[]): Record<string, string> {
  return Object.fromEntries(
    items.map((item) => {
      const at = item.indexOf(":");
      return at === -1 ? [item, DEFAULT_LEVEL] : [item.slice(0, at).trim(), item.slice(at + 1).trim()];
    }),
  );
}

function itemsOf(text: string): string[] {
  const trimmed = text.trim();
  return trimmed === "" || trimmed === "[]" ? [] : trimmed.split(",").map((item) => item.trim());
}
