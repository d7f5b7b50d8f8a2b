import type { FieldWriter } from "../../gen/nebula/v1/codecs.ts";
import { varintLength } from "./encoded-field.ts";

/** A byte of a varint that is not its last one has this bit; each byte has seven bits of the number. */
const MORE = 128;
const TWO_POWER_32 = 2 ** 32;
/** Bytes that are kept from one message to the next. */
const KEPT_BYTES = 64 * 1024;
/** Bytes of a tag and a varint, at most, and of a double: a field has as many at most besides its content. */
const HEAD_BYTES = 16;
/** Bytes of a character of a text, at most. */
const CHARACTER_BYTES = 3;
/** Characters of a text that are written one by one, at most. */
const LONGEST_SHORT = 12;
/** Numbers up to it can be shifted. */
const LARGEST_SHIFTED = 2 ** 31 - 1;
/** Numbers below it take four bytes of a varint at most. */
const FOUR_BYTES = 2 ** 28;

/**
 * Writes fields in protobuf's wire format (https://protobuf.dev/programming-guides/encoding/), for the generated code. It leaves negative numbers, those of more than
 * 53 bits, and values of another type than their field.
 */
export class WireWriter implements FieldWriter {
  /** A number of 64 bits, and its bytes. */
  readonly #scratch = new DataView(new ArrayBuffer(8));
  #bytes = Buffer.allocUnsafeSlow(KEPT_BYTES);
  #at = 0;
  #isLeft = false;

  /** Returns the bytes of what was written by a function; undefined if there was something that it left. */
  bytesOf(write: () => void): Uint8Array | undefined {
    this.#at = 0;
    this.#isLeft = false;
    write();
    const bytes = this.#isLeft ? undefined : copyOf(this.#bytes, this.#at);
    if (this.#bytes.length > KEPT_BYTES) this.#bytes = Buffer.allocUnsafeSlow(KEPT_BYTES);
    return bytes;
  }

  text(tag: number, value: string): void {
    if (typeof value !== "string") this.leave();
    else {
      const bytes = this.#head(tag, value.length * CHARACTER_BYTES);
      const begin = ++this.#at; // most texts are short, too
      if (!this.#putShortAscii(value)) this.#at += bytes.write(value, begin); // as TextEncoder does: what is not Unicode becomes U+FFFD
      this.end(begin);
    }
  }

  bytes(tag: number, value: Uint8Array): void {
    if (value instanceof Uint8Array) {
      const bytes = this.#head(tag, value.length);
      this.#putVarint(value.length);
      bytes.set(value, this.#at);
      this.#at += value.length;
    } else this.leave();
  }

  bool(tag: number, value: boolean): void {
    const bytes = this.#head(tag);
    bytes[this.#at++] = value ? 1 : 0;
  }

  double(tag: number, value: number): void {
    if (typeof value !== "number") this.leave();
    else {
      const bytes = this.#head(tag);
      this.#scratch.setFloat64(0, value, true);
      for (let index = 0; index < 8; index++) bytes[this.#at++] = this.#scratch.getUint8(index);
    }
  }

  int32(tag: number, value: number): void {
    if (value >= 0 && (value | 0) === value) this.#number(tag, value);
    else this.leave();
  }

  enumOf(tag: number, value: number): void {
    this.int32(tag, value);
  }

  uint32(tag: number, value: number): void {
    if (value >>> 0 === value) this.#number(tag, value);
    else this.leave();
  }

  uint64(tag: number, value: bigint): void {
    if (typeof value !== "bigint") this.leave();
    else {
      this.#scratch.setBigUint64(0, value, true); // Number(value) takes three times as long
      const number = this.#scratch.getUint32(4, true) * TWO_POWER_32 + this.#scratch.getUint32(0, true);
      if (number <= Number.MAX_SAFE_INTEGER && this.#scratch.getBigUint64(0, true) === value) this.#number(tag, number);
      else this.leave();
    }
  }

  /** Leaves a byte for the length: most messages within others are short. */
  begin(tag: number): number {
    this.#head(tag);
    return ++this.#at;
  }

  end(begin: number): void {
    const length = this.#at - begin;
    if (length < MORE) {
      this.#bytes[begin - 1] = length;
      return;
    }
    const more = varintLength(length) - 1;
    this.#room(more).copyWithin(begin + more, begin, this.#at);
    this.#at = begin - 1;
    this.#putVarint(length);
    this.#at += length;
  }

  leave(): void {
    this.#isLeft = true;
  }

  #number(tag: number, value: number): void {
    this.#head(tag);
    this.#putVarint(value);
  }

  /** Writes a tag; returns the bytes, with room for a varint or a double and the content of a field. */
  #head(tag: number, content = 0): Buffer {
    const bytes = this.#room(content);
    if (tag < MORE) bytes[this.#at++] = tag;
    else this.#putVarint(tag);
    return bytes;
  }

  #room(content: number): Buffer {
    const needed = this.#at + HEAD_BYTES + content;
    if (needed > this.#bytes.length) {
      const larger = Buffer.allocUnsafeSlow(2 * needed);
      this.#bytes.copy(larger, 0, 0, this.#at);
      this.#bytes = larger;
    }
    return this.#bytes;
  }

  #putVarint(value: number): void {
    const bytes = this.#bytes;
    let rest = value;
    if (rest > LARGEST_SHIFTED) {
      rest = Math.floor(value / FOUR_BYTES);
      const low = value - rest * FOUR_BYTES;
      for (let shift = 0; shift < 28; shift += 7) bytes[this.#at++] = (low >>> shift) | MORE;
    }
    for (; rest >= MORE; rest >>>= 7) bytes[this.#at++] = (rest & (MORE - 1)) | MORE;
    bytes[this.#at++] = rest;
  }

  /** Writes a text if it is short and ASCII, and returns whether it is: that takes less than a call of Node. */
  #putShortAscii(value: string): boolean {
    const { length } = value;
    if (length > LONGEST_SHORT) return false;
    const bytes = this.#bytes;
    let at = this.#at;
    for (let index = 0; index < length; index++) {
      const code = value.charCodeAt(index);
      if (code >= MORE) return false;
      bytes[at++] = code;
    }
    this.#at = at;
    return true;
  }
}

/** Returns the first bytes of these, in a part of a buffer that Node fills with small ones: a buffer of their own takes five times as long. */
function copyOf(bytes: Buffer, length: number): Uint8Array {
  const copy = Buffer.allocUnsafe(length);
  bytes.copy(copy, 0, 0, length);
  return new Uint8Array(copy.buffer, copy.byteOffset, length);
}
