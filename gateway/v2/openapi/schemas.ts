import type { JsonObject } from "@bufbuild/protobuf";
import type { JsonSchema } from "./json-schema.ts";

type Properties = Readonly<Record<string, JsonSchema>>;

/** An object whose properties are always there, but for those that may be; further ones may come with a later version. */
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

/** Exactly this. */
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
