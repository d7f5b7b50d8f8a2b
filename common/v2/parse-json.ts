import type { JsonObject, JsonValue } from "@bufbuild/protobuf";
import { isJsonObject } from "./fields-from-json.ts";

declare global {
  interface JSON {
    /** Of JSON.parse source text access (ES2026): `source` is the text of a value that is neither a list nor an object. */
    parse(text: string, reviver: (this: object, key: string, value: unknown, context: Readonly<{ source?: string }>) => unknown): unknown;
  }
}

/**
 * Parses JSON of v2. Numbers in env_vars of an object become texts, as they are written: `1.0` and `12345678901234567890` are other
 * texts than the numbers nearest to them. Throws a SyntaxError for a text that is not JSON.
 * @param check throws for a value that must not be looked at further
 */
export function parseV2Json(text: string, check: (value: JsonValue) => void = () => {}): JsonValue {
  const value: JsonValue = JSON.parse(text);
  check(value);
  return isJsonObject(value) && isJsonObject(value.env_vars) ? withNumberTexts(text, value, value.env_vars) : value;
}

function withNumberTexts(text: string, value: JsonObject, envVars: JsonObject): JsonObject {
  const written = new WeakMap<object, Map<string, string>>();
  const again = JSON.parse(text, function (key, number, { source }) {
    if (typeof number !== "number" || source === undefined || String(number) === source) return number;
    written.set(this, (written.get(this) ?? new Map<string, string>()).set(key, source));
    return number;
  });
  const holder = typeof again === "object" && again !== null && "env_vars" in again ? again.env_vars : undefined;
  const texts = typeof holder === "object" && holder !== null ? written.get(holder) : undefined;
  if (texts === undefined) return value;
  return { ...value, env_vars: Object.fromEntries(Object.entries(envVars).map(([name, given]) => [name, texts.get(name) ?? given])) };
}
