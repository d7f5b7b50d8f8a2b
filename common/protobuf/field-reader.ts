import type { FieldReader } from "../../gen/nebula/v1/codecs.ts";

/** A byte of a varint that is not its last one has this bit; each byte has seven bits of the number. */
const MORE = 128;
/** Numbers below it take four bytes of a varint at most. */
const FOUR_BYTES = 2 ** 28;
const LARGEST_INT32 = 2 ** 31 - 1;
const TWO_POWER_32 = 2 ** 32;
const LARGEST_UINT32 = TWO_POWER_32 - 1;

/** The numbers of 64 bits that are made once: most revisions and counts are among them. */
const SMALL_NUMBERS: readonly bigint[] = Array.from({ length: 1024 }, (_, number) => BigInt(number));

/** Bytes of a text that is held once, at most: an id of an image has 71. */
const LONGEST_SHARED = 80;
/** Texts that are held to be shared. A power of two. */
const SLOTS = 1024;

declare global {
  interface Buffer {
    /** Returns a text of one byte per character. It is the function below `toString("latin1")`, which looks for it at each call for as long as it takes itself. */
    latin1Slice(start: number, end: number): string;
  }
}

/**
 * Reads values from protobuf's wire format (https://protobuf.dev/programming-guides/encoding/), for the generated code. It leaves a negative number, one of more than
 * 53 bits, a text that is not UTF-8 and bytes that end early: from then on `at` is beyond the end.
 */
export class WireReader implements FieldReader {
  at = 0;
  /** `bytes` fields are views of them, of their class. */
  #given: Uint8Array = new Uint8Array();
  #bytes: Buffer = Buffer.alloc(0);
  /** Texts that were read lately, each in the slot that follows from it: the newest one of a slot is kept. */
  readonly #texts: string[] = new Array(SLOTS).fill("");
  /** Their bytes, which are compared several times faster than characters of a string. */
  readonly #bytesOfTexts = new Uint8Array(SLOTS * LONGEST_SHARED);
  /** Hashes of the texts that were last new to each slot: a text is held from its second time on, so that those of one device alone drive none of the others out. */
  readonly #newTexts = new Int32Array(SLOTS);
  /** A number of 64 bits, and its bytes. */
  readonly #scratch = new DataView(new ArrayBuffer(8));
  readonly #utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

  /** Begins a message. */
  start(bytes: Uint8Array): void {
    this.at = 0;
    this.#given = bytes;
    this.#bytes = bytes instanceof Buffer ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  }

  tag(): number {
    const first = this.#bytes[this.at++] ?? 0;
    if (first < MORE) return first;
    const second = this.#bytes[this.at++] ?? MORE;
    return second < MORE ? second * MORE + first - MORE : 0;
  }

  end(): number {
    const length = this.#varint(); // moves `at`
    const end = this.at + length;
    if (end <= this.#bytes.length) return end;
    this.leave();
    return this.at;
  }

  /** Reads a text. Devices have most of theirs in common, and those are held once. */
  text(): string {
    const end = this.end();
    const start = this.at;
    this.at = end;
    if (end - start > LONGEST_SHARED) return this.#newText(start, end);
    const hash = this.#hash(start, end);
    const slot = hash & (SLOTS - 1);
    const known = this.#texts[slot];
    if (known?.length === end - start && this.#isInSlot(slot, start, end)) return known;
    const text = this.#newText(start, end);
    if (this.#newTexts[slot] !== hash) this.#newTexts[slot] = hash;
    else if (text.length === end - start) this.#share(slot, text, start, end); // it is ASCII
    return text;
  }

  bytes(): Uint8Array {
    const end = this.end();
    const start = this.at;
    this.at = end;
    return this.#given.subarray(start, end);
  }

  bool(): boolean {
    const byte = this.#bytes[this.at++] ?? 0;
    if (byte >= MORE) this.leave();
    return byte !== 0;
  }

  double(): number {
    const start = this.at;
    this.at += 8;
    for (let index = 0; index < 8; index++) this.#scratch.setUint8(index, this.#bytes[start + index] ?? 0);
    return this.#scratch.getFloat64(0, true);
  }

  int32(): number {
    const value = this.#varint();
    if (value > LARGEST_INT32) this.leave();
    return value;
  }

  /** Reads a number of an enum, which may be newer than this program. */
  enumOf<T extends number>(): T {
    return this.int32() as T;
  }

  uint32(): number {
    const value = this.#varint();
    if (value > LARGEST_UINT32) this.leave();
    return value;
  }

  uint64(): bigint {
    const number = this.#varint();
    if (number < SMALL_NUMBERS.length) return SMALL_NUMBERS[number] ?? 0n; // a look beyond the end takes several times as long as all of this
    if (number <= LARGEST_UINT32) this.#scratch.setUint32(4, 0, true);
    else this.#scratch.setUint32(4, number / TWO_POWER_32, true);
    this.#scratch.setUint32(0, number, true);
    return this.#scratch.getBigUint64(0, true); // BigInt(number) takes three times as long
  }

  leave(): void {
    this.at = this.#bytes.length + 1;
  }

  #varint(): number {
    const first = this.#bytes[this.at++] ?? 0;
    return first < MORE ? first : this.#longVarint(first - MORE);
  }

  #longVarint(first: number): number {
    const bytes = this.#bytes;
    let [low, high] = [first, 0];
    for (let shift = 7; shift < 28; shift += 7) {
      const byte = bytes[this.at++] ?? 0;
      if (byte < MORE) return low | (byte << shift);
      low |= (byte - MORE) << shift;
    }
    for (let shift = 0; shift < 28; shift += 7) {
      const byte = bytes[this.at++] ?? 0;
      high |= (byte & (MORE - 1)) << shift;
      if (byte >= MORE) continue;
      const value = high * FOUR_BYTES + low;
      if (value <= Number.MAX_SAFE_INTEGER) return value;
      break;
    }
    this.leave();
    return 0;
  }

  /** Most texts that differ do so in their length, or in one of some bytes. */
  #hash(start: number, end: number): number {
    const bytes = this.#bytes;
    let hash = end - start;
    for (let at = Math.max(start, end - 4); at < end; at++) hash = Math.imul(hash, 31) + (bytes[at] ?? 0);
    return (Math.imul(hash, 31) + (bytes[start] ?? 0) + Math.imul(bytes[(start + end) >> 1] ?? 0, 7)) | 0;
  }

  #isInSlot(slot: number, start: number, end: number): boolean {
    const [bytes, knownBytes] = [this.#bytes, this.#bytesOfTexts];
    for (let [at, known] = [start, slot * LONGEST_SHARED]; at < end; at++, known++) if (bytes[at] !== knownBytes[known]) return false;
    return true;
  }

  #share(slot: number, text: string, start: number, end: number): void {
    this.#texts[slot] = text;
    this.#bytesOfTexts.set(this.#bytes.subarray(start, end), slot * LONGEST_SHARED);
  }

  #newText(start: number, end: number): string {
    const bytes = this.#bytes;
    for (let at = start; at < end; at++) if ((bytes[at] ?? MORE) >= MORE) return this.#notAscii(start, end);
    return bytes.latin1Slice(start, end);
  }

  #notAscii(start: number, end: number): string {
    try {
      return this.#utf8.decode(this.#bytes.subarray(start, end));
    } catch {
      this.leave();
      return "";
    }
  }
}
