import { type DescField, type DescMessage, ScalarType } from "@bufbuild/protobuf";
import { enumWords } from "../../../common/resources/enum-words.ts";
import type { JsonSchema } from "./json-schema.ts";
import { listOf, mapOf, NUMBER, partsOf, TEXT, TRUTH } from "./schemas.ts";

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
