import { type DescField, type DescMessage, ScalarType } from "@bufbuild/protobuf";

/**
 * The most values that one request may consist of: fields, list items and map entries, on every level. A body within its size can hold a million empty messages,
 * which take seconds to decode and check, and the process does nothing else meanwhile. This many take a tenth of a second.
 */
export const MOST_VALUES = 100_000;

/**
 * The most entries that all maps of one request may have together. Each key is a name of its own to the process, so an entry costs some ten times as much as
 * another value; the largest map of ours, the variables of an app, has some thousand.
 */
export const MOST_MAP_ENTRIES = 10_000;

/** An object of JSON with more keys than this is a map: every message has fewer fields. */
const MOST_FIELDS = 100;

/** The reason for refusing a request that has more; it continues `the request is not a valid X: `. */
export const TOO_MANY_VALUES = `it consists of more than ${MOST_VALUES} values (fields, list items, map entries), or of more than ${MOST_MAP_ENTRIES} map entries: send less at once`;

const [QUOTE, BACKSLASH, COMMA, COLON, BRACE, END_BRACE, BRACKET] = [...'"\\,:{}['].map((character) => character.charCodeAt(0));

/** Whether a JSON text, which may be none, has more values than `most`, or more map entries than `mostEntries`. Looks at each byte at most once. */
export function hasTooManyJsonValues(json: Uint8Array, most = MOST_VALUES, mostEntries = MOST_MAP_ENTRIES): boolean {
  if (json.length < Math.min(most, mostEntries)) return false; // each takes a byte at the least
  let values = 0;
  let entries = 0;
  /** Keys of each object that is open. */
  const keys: number[] = [];
  let inString = false;
  for (let at = 0; at < json.length; at++) {
    const byte = json[at];
    if (inString) {
      if (byte === BACKSLASH) at++;
      else if (byte === QUOTE) inString = false;
    } else if (byte === QUOTE) inString = true;
    else if ((byte === COMMA || byte === BRACE || byte === BRACKET) && ++values > most) return true;
    if (inString) continue;
    if (byte === BRACE) keys.push(0);
    else if (byte === END_BRACE) keys.pop();
    else if (byte === COLON && keys.length > 0) {
      const count = (keys.pop() ?? 0) + 1;
      keys.push(count);
      if (count > MOST_FIELDS) entries += count === MOST_FIELDS + 1 ? count : 1;
      if (entries > mostEntries) return true;
    }
  }
  return false;
}

/** Whether an encoded message, if any, has more values than `most`, or more map entries than `mostEntries`. The decoder handles unreadable bytes. */
export function hasTooManyValues(schema: DescMessage, bytes: Uint8Array, most = MOST_VALUES, mostEntries = MOST_MAP_ENTRIES): boolean {
  return bytes.length >= Math.min(most, mostEntries) && new Counter(bytes, most, mostEntries).isAbove(schema);
}

const [VARINT, FIXED64, DELIMITED, FIXED32] = [0, 1, 2, 5];

/** Deeper than this nothing of ours goes, and what does is counted no further. */
const DEPTH = 100;

/** Walks over the wire format of a message, by its schema. */
class Counter {
  readonly #bytes: Uint8Array;
  #left: number;
  #entriesLeft: number;
  #at = 0;
  readonly #fields = new Map<DescMessage, ReadonlyMap<number, DescField>>();

  constructor(bytes: Uint8Array, most: number, mostEntries: number) {
    this.#bytes = bytes;
    this.#left = most;
    this.#entriesLeft = mostEntries;
  }

  isAbove(schema: DescMessage): boolean {
    this.#message(schema, this.#bytes.length, 0);
    return this.#left < 0 || this.#entriesLeft < 0;
  }

  #message(schema: DescMessage, end: number, depth: number): void {
    if (depth > DEPTH) return;
    const fields = this.#fieldsOf(schema);
    while (this.#at < end && this.#left >= 0 && this.#entriesLeft >= 0) {
      const tag = this.#varint(end);
      this.#left--;
      switch (tag & 7) {
        case VARINT:
          this.#varint(end);
          break;
        case FIXED64:
          this.#at += 8;
          break;
        case FIXED32:
          this.#at += 4;
          break;
        case DELIMITED: {
          if (this.#at >= end) break; // cut off before its length: there is nothing of it to count
          const length = this.#varint(end);
          const to = Math.min(this.#at + length, end);
          this.#delimited(fields.get(tag >>> 3), to, depth);
          this.#at = to;
          break;
        }
        default:
          this.#at = end; // groups: the decoder knows none of ours
      }
    }
  }

  #delimited(field: DescField | undefined, to: number, depth: number): void {
    switch (field?.fieldKind) {
      case "message":
        this.#message(field.message, to, depth + 1);
        break;
      case "map":
        this.#entry(field.mapKind === "message" ? field.message : undefined, to, depth);
        break;
      case "list":
        if (field.listKind === "message") this.#message(field.message, to, depth + 1);
        else if (isPackable(field)) this.#left -= to - this.#at; // a byte each at the least
        break;
      default:
    }
  }

  /** A map's entry is a message with the key as 1 and the value as 2. */
  #entry(value: DescMessage | undefined, end: number, depth: number): void {
    this.#left--;
    this.#entriesLeft--;
    while (value !== undefined && this.#at < end) {
      const tag = this.#varint(end);
      if ((tag & 7) !== DELIMITED) {
        if ((tag & 7) !== VARINT) return; // no key of ours is of a fixed size
        this.#varint(end);
        continue;
      }
      const length = this.#varint(end);
      const to = Math.min(this.#at + length, end);
      if (tag >>> 3 === 2) this.#message(value, to, depth + 1);
      this.#at = to;
    }
  }

  /** Of more than 32 bits only where it ends matters. */
  #varint(end: number): number {
    let value = 0;
    for (let shift = 0; this.#at < end; shift += 7) {
      const byte = this.#bytes[this.#at++] ?? 0;
      if (shift < 28) value |= (byte & 0x7f) << shift;
      if (byte < 0x80) break;
    }
    return value;
  }

  #fieldsOf(schema: DescMessage): ReadonlyMap<number, DescField> {
    const known = this.#fields.get(schema);
    if (known !== undefined) return known;
    const fields = new Map(schema.fields.map((field) => [field.number, field]));
    this.#fields.set(schema, fields);
    return fields;
  }
}

/** Whether the items of a list may come in one piece: numbers do. */
function isPackable(field: DescField & { fieldKind: "list" }): boolean {
  return field.listKind === "enum" || (field.listKind === "scalar" && field.scalar !== ScalarType.STRING && field.scalar !== ScalarType.BYTES);
}
