import type { DescEnum, DescField, DescMessage, JsonObject, JsonValue, MessageShape } from "@bufbuild/protobuf";
import { isReflectMessage, type ReflectMessage, reflect } from "@bufbuild/protobuf/reflect";
import { enumWords } from "../text/enum-words.ts";

/**
 * The fields of a message that v2 does not know, by proto names: those that are set, and differ from what they are by default.
 * @param normal the message in normal form
 * @param base a message without anything, in normal form
 * @param left proto names of the fields that are left out
 */
export function ownFields<Desc extends DescMessage>(
  schema: Desc,
  normal: MessageShape<Desc>,
  base: MessageShape<Desc>,
  left: ReadonlySet<string>,
): JsonObject {
  const [source, defaults] = [reflect(schema, normal), reflect(schema, base)];
  const shown = schema.fields.filter((field) => !left.has(field.name) && source.isSet(field) && !isSame(field, source, defaults));
  return Object.fromEntries(shown.map((field) => [field.name, jsonOfField(source, field)]));
}

function isSame(field: DescField, a: ReflectMessage, b: ReflectMessage): boolean {
  return (field.fieldKind === "scalar" || field.fieldKind === "enum") && a.get(field) === b.get(field);
}

function jsonOfField(message: ReflectMessage, field: DescField): JsonValue {
  switch (field.fieldKind) {
    case "scalar":
      return jsonOf(message.get(field));
    case "enum":
      return wordOf(field.enum, message.get(field));
    case "message":
      return jsonOfMessage(message.get(field));
    case "list":
      return [...message.get(field)].map((item) => (isReflectMessage(item) ? jsonOfMessage(item) : jsonOf(item)));
    case "map":
      return Object.fromEntries([...message.get(field)].map(([key, value]) => [String(key), jsonOf(value)]));
  }
}

function jsonOfMessage(message: ReflectMessage): JsonObject {
  return Object.fromEntries(message.fields.filter((field) => message.isSet(field)).map((field) => [field.name, jsonOfField(message, field)]));
}

/** The word of resource files; a number that this version has no word for stays one. */
function wordOf(desc: DescEnum, number: number): JsonValue {
  return [...enumWords(desc)].find(([, value]) => value === number)?.[0] ?? number;
}

/** Entities hold strings, numbers and truth values; a 64-bit number becomes one of JSON. */
function jsonOf(value: unknown): JsonValue {
  if (typeof value === "string" || typeof value === "number" || typeof value === "boolean") return value;
  return typeof value === "bigint" ? Number(value) : String(value);
}
