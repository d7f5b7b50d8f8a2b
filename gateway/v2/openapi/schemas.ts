import { type DescField, type DescMessage, type JsonObject, ScalarType } from "@bufbuild/protobuf";
import { enumWords } from "../../../common/text/enum-words.ts";

type Properties = Readonly<Record<string, JsonSchema>>;

/** An object with these properties, all present but the optional ones; a later version may add others. */
export function objectOf(properties: Properties, more: Properties = {}): JsonSchema {
  return { type: "object", properties: { ...properties, ...more }, required: Object.keys(properties) };
}

/** An object of these properties, each of which may be left out. */
export function partsOf(properties: Properties): JsonSchema {
  return { type: "object", properties: { ...properties } };
}

export function listOf(items: JsonSchema): JsonSchema {
  return { type: "array", items };
}

export function mapOf(values: JsonSchema): JsonSchema {
  return { type: "object", additionalProperties: values };
}

export function described(schema: JsonSchema, description: string): JsonSchema {
  return { ...schema, description };
}

/** Exactly this value. */
export function constant(value: JsonObject[string]): JsonSchema {
  return { const: value };
}

/** A schema that the document names. */
export function named(name: string): JsonSchema {
  return { $ref: `#/components/schemas/${name}` };
}

export const TEXT: JsonSchema = { type: "string" };
export const TRUTH: JsonSchema = { type: "boolean" };
export const COUNT: JsonSchema = { type: "integer", minimum: 0 };
export const NUMBER: JsonSchema = { type: "number" };
export const TEXTS: JsonSchema = listOf(TEXT);
export const TEXT_MAP: JsonSchema = mapOf(TEXT);

/** The schemas of a message's fields by proto names, as REST v2 takes and shows those that the original lacks. */
export function fieldSchemas(schema: DescMessage, left: ReadonlySet<string>): Record<string, JsonSchema> {
  return Object.fromEntries(schema.fields.filter(({ name }) => !left.has(name)).map((field) => [field.name, fieldSchema(field)]));
}

function fieldSchema(field: DescField): JsonSchema {
  switch (field.fieldKind) {
    case "scalar":
      return scalarSchema(field.scalar);
    case "enum":
      return { type: "string", enum: [...enumWords(field.enum).keys()] };
    case "message":
      return partsOf(fieldSchemas(field.message, new Set()));
    case "list":
      return listOf(field.listKind === "message" ? partsOf(fieldSchemas(field.message, new Set())) : TEXT);
    case "map":
      return mapOf(TEXT);
  }
}

function scalarSchema(type: ScalarType): JsonSchema {
  switch (type) {
    case ScalarType.STRING:
      return TEXT;
    case ScalarType.BOOL:
      return TRUTH;
    case ScalarType.DOUBLE:
      return NUMBER;
    case ScalarType.UINT32:
      return { type: "integer", minimum: 0, maximum: 2 ** 32 - 1 };
    default:
      return { type: "integer" };
  }
}

/** A JSON Schema (2020-12), as OpenAPI 3.1 has it. */
export type JsonSchema = JsonObject;
