import { strict as assert } from "node:assert";
import { BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import fc from "fast-check";
import { headLength, numberLength, onlyContent, putHead, putNumber } from "./encoded-field.ts";

const anyField = fc.oneof(fc.integer({ min: 1, max: 40 }), fc.integer({ min: 1, max: 2 ** 29 - 1 }));
const anyNumber = fc.oneof(fc.integer({ min: 0, max: 300 }), fc.maxSafeNat());
const anyLength = fc.oneof(fc.integer({ min: 0, max: 300 }), fc.integer({ min: 0, max: 2 ** 32 - 1 }));
const AT = 3;

/** The bytes that were put at AT; the others are as they were. */
function putAtPlace(length: number, put: (into: Uint8Array, at: number) => number): Uint8Array {
  const into = new Uint8Array(AT + length + 1).fill(0xee);
  assert.equal(put(into, AT), AT + length);
  assert.deepEqual([...into.subarray(0, AT), ...into.subarray(AT + length)], [0xee, 0xee, 0xee, 0xee]);
  return into.subarray(AT, AT + length);
}

describe("encoded field", () => {
  it("the field of a number is written as a BinaryWriter writes it, in as many bytes as are announced", () => {
    fc.assert(
      fc.property(anyField, anyNumber, (field, value) => {
        const written = putAtPlace(numberLength(field, value), (into, at) => putNumber(into, at, field, value));
        assert.deepEqual(written, new BinaryWriter().tag(field, WireType.Varint).uint64(value).finish());
      }),
    );
  });

  it("the content of a message that is one field of bytes is found, and none in a message with more, with less, or with another field", () => {
    const field = fc.integer({ min: 1, max: 15 });
    const content = fc.oneof(
      fc.uint8Array({ maxLength: 200 }),
      fc.nat(40_000).map((length) => new Uint8Array(length).fill(7)),
    );
    fc.assert(
      fc.property(field, content, fc.nat(), (number, bytes, cut) => {
        const message = new BinaryWriter().tag(number, WireType.LengthDelimited).bytes(bytes).finish();
        assert.deepEqual(onlyContent(message, number), bytes);
        assert.equal(onlyContent(message, (number % 15) + 1), undefined);
        assert.equal(onlyContent(Buffer.concat([message, message]), number), undefined);
        assert.equal(onlyContent(message.subarray(0, cut % message.length), number), undefined);
      }),
    );
    assert.equal(onlyContent(Uint8Array.of(10, 0x80, 0x80, 0x80, 0x80, 0x00), 1), undefined, "a length of more bytes than it needs");
    assert.equal(onlyContent(new Uint8Array(), 1), undefined);
  });

  it("the head of a field of bytes is written as a BinaryWriter writes it, in as many bytes as are announced", () => {
    fc.assert(
      fc.property(anyField, anyLength, (field, length) => {
        const written = putAtPlace(headLength(field, length), (into, at) => putHead(into, at, field, length));
        assert.deepEqual(written, new BinaryWriter().tag(field, WireType.LengthDelimited).uint32(length).finish());
      }),
    );
  });
});
