import { create, type DescField, type DescMessage, type JsonObject, type JsonValue, type Message, ScalarType } from "@bufbuild/protobuf";
import { type ReflectMessage, reflect } from "@bufbuild/protobuf/reflect";
import type { Violation } from "../errors/nebula-error.ts";
import { enumWords } from "../text/enum-words.ts";
import { entryPath, nearestName, quote } from "../text/wording.ts";
import { validateKey } from "../validation/names.ts";

/** Reads one field of a JSON body into a message by its proto name; returns the violations. They name the shape of a value, never the value: it may be a secret. */
export function fieldFromJson(message: ReflectMessage, field: DescField, value: JsonValue, path: string): Violation[] {
  switch (field.fieldKind) {
    case "scalar": {
      const read = scalarOf(field.scalar, value);
      if (read === undefined) return [wrong(path, value, WANTED.get(field.scalar) ?? "a value of another type")];
      message.set(field, read);
      return [];
    }
    case "enum": {
      const words = enumWords(field.enum);
      const word = typeof value === "string" ? value.toLowerCase() : "";
      const number = words.get(word) ?? field.enum.values.find(({ name }) => name.toLowerCase() === word)?.number;
      const given = typeof value === "string" ? quote(value) : shapeOf(value);
      if (number === undefined) return [{ field: path, description: `is ${given}; use one of ${[...words.keys()].join(", ")}` }];
      message.set(field, number);
      return [];
    }
    case "message":
      return innerFromJson(field.message, value, path, (inner) => message.set(field, reflect(field.message, inner)));
    case "list":
      if (!Array.isArray(value)) return [wrong(path, value, "a list")];
      return value.flatMap((item, index) => itemFromJson(message, field, item, `${path}[${index}]`));
    case "map":
      if (!isJsonObject(value)) return [wrong(path, value, "an object of names to strings")];
      return Object.entries(value).flatMap(([key, entry]) => entryFromJson(message, field, key, entry, entryPath(path, key)));
  }
}

export function isJsonObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** The violation of a value of the wrong shape, with the shape to use. */
export function wrong(field: string, value: JsonValue, wanted: string): Violation {
  return { field, description: `is ${shapeOf(value)}; use ${wanted}` };
}

const WANTED: ReadonlyMap<ScalarType, string> = new Map([
  [ScalarType.STRING, "a string"],
  [ScalarType.BOOL, "true or false"],
  [ScalarType.DOUBLE, "a number"],
  [ScalarType.UINT32, `a whole number from 0 to ${2 ** 32 - 1}`],
  [ScalarType.INT64, "a whole number"],
]);

/** The scalars that entities have. */
function scalarOf(type: ScalarType, value: JsonValue): string | boolean | number | bigint | undefined {
  switch (type) {
    case ScalarType.STRING:
      return typeof value === "string" ? value : undefined;
    case ScalarType.BOOL:
      return typeof value === "boolean" ? value : undefined;
    case ScalarType.DOUBLE:
      return typeof value === "number" ? value : undefined;
    case ScalarType.UINT32:
      return typeof value === "number" && Number.isInteger(value) && value >= 0 && value < 2 ** 32 ? value : undefined;
    case ScalarType.INT64:
      return typeof value === "number" && Number.isSafeInteger(value) ? BigInt(value) : undefined;
    default:
      return undefined;
  }
}

function innerFromJson(schema: DescMessage, value: JsonValue, path: string, take: (inner: Message) => void): Violation[] {
  const names = schema.fields.map(({ name }) => name);
  if (!isJsonObject(value)) return [wrong(path, value, `an object of ${names.join(", ")}`)];
  const inner = create(schema);
  const into = reflect(schema, inner);
  const violations = Object.entries(value).flatMap(([key, entry]): Violation[] => {
    const field = schema.fields.find(({ name }) => name === key);
    if (field !== undefined) return fieldFromJson(into, field, entry, `${path}.${key}`);
    return [{ field: entryPath(path, key), description: `unknown field; use ${nearestName(key, names) ?? `one of ${names.join(", ")}`}` }];
  });
  take(inner);
  return violations;
}

function itemFromJson(message: ReflectMessage, field: DescField & { fieldKind: "list" }, item: JsonValue, path: string): Violation[] {
  if (field.listKind === "message") {
    const schema = field.message;
    return innerFromJson(schema, item, path, (inner) => message.get(field).add(reflect(schema, inner)));
  }
  if (typeof item !== "string") return [wrong(path, item, "a string")];
  message.get(field).add(item);
  return [];
}

function entryFromJson(message: ReflectMessage, field: DescField & { fieldKind: "map" }, key: string, value: JsonValue, path: string): Violation[] {
  const violations = validateKey(key, path);
  if (violations.length > 0) return violations;
  if (typeof value !== "string") return [wrong(path, value, "a string")];
  message.get(field).set(key, value);
  return [];
}

function shapeOf(value: JsonValue): string {
  if (value === null) return "null";
  if (Array.isArray(value)) return "a list";
  switch (typeof value) {
    case "object":
      return "an object";
    case "boolean":
      return String(value);
    case "number":
      return `a number${Number.isInteger(value) ? "" : " with a fraction"}`;
    default:
      return "a string";
  }
}
