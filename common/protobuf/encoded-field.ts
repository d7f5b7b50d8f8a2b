/**
 * Fields of encoded messages (https://protobuf.dev/programming-guides/encoding/) that are written beside bytes that are encoded already, or found in them. A writer
 * of the library allocates several buffers of its own, and a reader functions of its own, which is dear for the few bytes of a field's head.
 */

/** The wire types of a field of a number, and of one of bytes. */
const [VARINT, LENGTH_DELIMITED] = [0, 2];

/** Returns how many bytes a whole number takes, 0 to Number.MAX_SAFE_INTEGER. */
export function varintLength(value: number): number {
  let length = 1;
  for (let rest = value; rest >= 128; rest = Math.floor(rest / 128)) length++;
  return length;
}

/** Writes a whole number, 0 to Number.MAX_SAFE_INTEGER; returns where it ends. */
function putVarint(into: Uint8Array, at: number, value: number): number {
  let [end, rest] = [at, value];
  for (; rest >= 128; rest = Math.floor(rest / 128)) into[end++] = (rest % 128) + 128;
  into[end++] = rest;
  return end;
}

/** Returns how many bytes `putNumber` writes. */
export function numberLength(field: number, value: number): number {
  return varintLength(field * 8 + VARINT) + varintLength(value);
}

/** Writes a field of a whole number, 0 to Number.MAX_SAFE_INTEGER; returns where it ends. */
export function putNumber(into: Uint8Array, at: number, field: number, value: number): number {
  return putVarint(into, putVarint(into, at, field * 8 + VARINT), value);
}

/** Returns how many bytes `putHead` writes. */
export function headLength(field: number, length: number): number {
  return varintLength(field * 8 + LENGTH_DELIMITED) + varintLength(length);
}

/** Writes the head of a field of this many bytes, which come after it; returns where it ends. */
export function putHead(into: Uint8Array, at: number, field: number, length: number): number {
  return putVarint(into, putVarint(into, at, field * 8 + LENGTH_DELIMITED), length);
}

/** Returns the content of a field of bytes if a message consists of this field alone, which has a number below 16; undefined otherwise. It is part of the message. */
export function onlyContent(message: Uint8Array, field: number): Uint8Array | undefined {
  if (message[0] !== field * 8 + LENGTH_DELIMITED) return undefined;
  let length = 0;
  for (let [at, shift] = [1, 0]; shift < 28; at++, shift += 7) {
    const byte = message[at] ?? 0;
    length |= (byte & 127) << shift;
    if (byte < 128) return at + 1 + length === message.length ? message.subarray(at + 1) : undefined;
  }
  return undefined;
}
