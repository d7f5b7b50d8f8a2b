import { clone, type DescMessage, type MessageShape, toBinary } from "@bufbuild/protobuf";
import { isReflectMessage, type ReflectMessage, reflect } from "@bufbuild/protobuf/reflect";

/**
 * Encodes a message so that equal messages give equal bytes: fields in number order (as protobuf-es writes them), map keys sorted at every depth,
 * unknown fields kept as they came.
 */
export function encodeCanonical<Desc extends DescMessage>(schema: Desc, message: MessageShape<Desc>): Uint8Array {
  const sorted = clone(schema, message);
  sortMaps(reflect(schema, sorted));
  return toBinary(schema, sorted);
}

function sortMaps(message: ReflectMessage): void {
  for (const field of message.fields) {
    if (!message.isSet(field)) continue;
    if (field.fieldKind === "message") sortMaps(message.get(field));
    else if (field.fieldKind === "list" && field.listKind === "message") {
      for (const item of message.get(field)) if (isReflectMessage(item)) sortMaps(item);
    } else if (field.fieldKind === "map") {
      const map = message.get(field);
      // A map is an object, which lists keys that are whole numbers first, by their value: another order than sorted, but the same one for equal maps.
      const entries = [...map].sort(([a], [b]) => (String(a) < String(b) ? -1 : 1));
      map.clear();
      for (const [key, value] of entries) {
        if (isReflectMessage(value)) sortMaps(value);
        map.set(key, value);
      }
    }
  }
}
