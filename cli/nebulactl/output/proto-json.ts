import {
  type DescField,
  type DescMessage,
  type JsonObject,
  type JsonValue,
  type JsonWriteOptions,
  type MessageShape,
  ScalarType,
  toJson,
} from "@bufbuild/protobuf";
import { jsonNumber } from "../../../common/resources/resource-fields.ts";

const AS_IN_PROTO: Partial<JsonWriteOptions> = { useProtoFieldName: true, alwaysEmitImplicit: true };

/**
 * A message as JSON: names as in proto, implicit defaults included, 64-bit numbers as numbers if JSON holds them
 * exactly.
 */
export function protoJson<Desc extends DescMessage>(schema: Desc, message: MessageShape<Desc>): JsonObject {
  const json = withNumbers(schema, toJson(schema, message, AS_IN_PROTO));
  if (!isObject(json)) throw new TypeError(`${schema.typeName} is not an object in JSON`);
  return json;
}

function withNumbers(schema: DescMessage, json: JsonValue): JsonValue {
  if (!isObject(json) || schema.typeName.startsWith("google.protobuf.")) return json; // well-known types have a JSON form of their own
  const fields = new Map(schema.fields.map((field) => [field.name, field]));
  return Object.fromEntries(Object.entries(json).map(([name, value]) => [name, fieldWithNumbers(fields.get(name), value)]));
}

function fieldWithNumbers(field: DescField | undefined, json: JsonValue): JsonValue {
  if (field === undefined) return json;
  const { message, scalar } = field;
  const one = (value: JsonValue) => {
    if (message !== undefined) return withNumbers(message, value);
    return scalar !== undefined && is64Bit(scalar) && typeof value === "string" ? jsonNumber(BigInt(value)) : value;
  };
  if (field.fieldKind === "list" && Array.isArray(json)) return json.map(one);
  if (field.fieldKind === "map" && isObject(json)) return Object.fromEntries(Object.entries(json).map(([key, value]) => [key, one(value)]));
  return one(json);
}

function is64Bit(scalar: ScalarType): boolean {
  return [ScalarType.INT64, ScalarType.UINT64, ScalarType.SINT64, ScalarType.FIXED64, ScalarType.SFIXED64].includes(scalar);
}

function isObject(json: JsonValue): json is JsonObject {
  return typeof json === "object" && json !== null && !Array.isArray(json);
}
