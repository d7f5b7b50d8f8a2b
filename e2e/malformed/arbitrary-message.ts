import { type DescField, type DescMessage, fromJson, type JsonValue, ScalarType, toBinary } from "@bufbuild/protobuf";
import fc from "fast-check";

/** Names that hit each other now and then, and invalid names. */
const name = fc.oneof(fc.constantFrom("a", "b", "web", "pos"), fc.string({ maxLength: 70 }));
/** JSON of any shape: no field of any type takes all of it. */
const anything: fc.Arbitrary<JsonValue> = fc.jsonValue({ maxDepth: 2 }).map((value): JsonValue => JSON.parse(JSON.stringify(value)));
const extreme = fc.constantFrom<JsonValue>(0, -1, 1e300, 2 ** 53, "NaN", "18446744073709551616", "", "\u0000", null, [], {});

/**
 * JSON that is a request of this type nearly: any of its fields, with a value of the right type mostly, an extreme or a foreign one now and then.
 * @param depth levels of messages within messages
 */
export function nearlyJson(desc: DescMessage, depth = 3): fc.Arbitrary<Record<string, JsonValue>> {
  const fields = Object.fromEntries(desc.fields.map((field) => [field.name, nearlyValue(field, depth)]));
  const known = fc.record(fields, { requiredKeys: [] });
  const foreign = fc.dictionary(fc.string({ maxLength: 8 }), anything, { maxKeys: 1 });
  const either = fc.oneof({ weight: 9, arbitrary: known }, { weight: 1, arbitrary: fc.tuple(known, foreign).map(([a, b]) => ({ ...a, ...b })) });
  return either.map((value): Record<string, JsonValue> => JSON.parse(JSON.stringify(value)));
}

function nearlyValue(field: DescField, depth: number): fc.Arbitrary<JsonValue> {
  const right = rightValue(field, depth);
  return fc.oneof({ weight: 16, arbitrary: right }, { weight: 2, arbitrary: extreme }, { weight: 1, arbitrary: anything });
}

function rightValue(field: DescField, depth: number): fc.Arbitrary<JsonValue> {
  switch (field.fieldKind) {
    case "scalar":
      return scalarValue(field.scalar);
    case "enum":
      return fc.constantFrom(...field.enum.values.map(({ name }) => name));
    case "message":
      return messageValue(field.message, depth);
    case "list": {
      const item =
        field.listKind === "message" ? messageValue(field.message, depth) : field.listKind === "scalar" ? scalarValue(field.scalar) : fc.nat(9);
      return fc.array<JsonValue>(item, { maxLength: 4 });
    }
    case "map": {
      const value = field.mapKind === "scalar" ? scalarValue(field.scalar) : anything;
      return fc.dictionary<string, JsonValue>(name, value, { maxKeys: 3 });
    }
  }
}

function messageValue(desc: DescMessage, depth: number): fc.Arbitrary<JsonValue> {
  if (desc.typeName === "google.protobuf.Timestamp") return fc.oneof(fc.constant("2026-01-01T00:00:00Z"), fc.string({ maxLength: 30 }));
  return depth === 0 ? fc.constant({}) : nearlyJson(desc, depth - 1);
}

function scalarValue(scalar: ScalarType): fc.Arbitrary<JsonValue> {
  switch (scalar) {
    case ScalarType.STRING:
      return name;
    case ScalarType.BOOL:
      return fc.boolean();
    case ScalarType.BYTES:
      return fc.base64String({ maxLength: 64 });
    case ScalarType.DOUBLE:
    case ScalarType.FLOAT:
      return fc.double({ noDefaultInfinity: true, noNaN: true });
    default:
      return fc.oneof(fc.nat(3), fc.nat(), fc.integer());
  }
}

/** Bytes that are a message of this type nearly: encoded, then changed at some places; or noise. */
export function nearlyBytes(desc: DescMessage): fc.Arbitrary<Uint8Array> {
  const noise = fc.uint8Array({ maxLength: 200 });
  const encoded = nearlyJson(desc).map((json) => {
    try {
      return toBinary(desc, fromJson(desc, json, { ignoreUnknownFields: true }));
    } catch {
      return new Uint8Array(Buffer.from(JSON.stringify(json)));
    }
  });
  const changes = fc.array(fc.tuple(fc.nat(), fc.nat(255)), { maxLength: 4 });
  const mutated = fc.tuple(encoded, changes, fc.nat(3)).map(([bytes, changes, cut]) => {
    const copy = bytes.slice(0, Math.max(0, bytes.length - cut));
    for (const [at, value] of changes) if (copy.length > 0) copy[at % copy.length] = value;
    return copy;
  });
  return fc.oneof({ weight: 3, arbitrary: encoded }, { weight: 4, arbitrary: mutated }, { weight: 1, arbitrary: noise });
}
