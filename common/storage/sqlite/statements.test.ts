import { strict as assert } from "node:assert";
import { DatabaseSync } from "node:sqlite";
import fc from "fast-check";
import { bodiesColumns, bodiesOf } from "./statements.ts";

describe("bodies of many rows in one", () => {
  /** Reads what `bodiesColumns` makes of these bodies, in their order. */
  function readTogether(stored: readonly Uint8Array[]): Uint8Array[] {
    using database = new DatabaseSync(":memory:");
    database.exec("CREATE TABLE rows (number INTEGER PRIMARY KEY, body BLOB NOT NULL) STRICT, WITHOUT ROWID");
    const insert = database.prepare("INSERT INTO rows VALUES (?, ?)");
    for (const number of stored.keys()) insert.run(stored.length - number, stored[number] ?? assert.fail());
    const read = database.prepare(`SELECT ${bodiesColumns("body")} FROM (SELECT body FROM rows ORDER BY number DESC LIMIT ?)`);
    read.setReturnArrays(true);
    const { bytes, lengths } = bodiesOf(read.get(stored.length + 1) ?? assert.fail());
    let end = 0;
    const bodies = lengths.map((length) => {
      end += length;
      return bytes.subarray(end - length, end);
    });
    assert.equal(end, bytes.length);
    return bodies;
  }

  const asText = (bodies: readonly Uint8Array[]) => bodies.map((body) => Buffer.from(body).toString("hex"));

  it("bodies that are read as one are those of the rows, in the order of the statement, with any bytes", () => {
    // bytes of a NUL, of ASCII, of a text in UTF-8 that is cut, and such as no UTF-8 has
    const byte = fc.oneof(fc.constantFrom(0, 0x2c, 0x80, 0xbf, 0xc3, 0xe2, 0xed, 0xf0, 0xfe, 0xff), fc.nat(255));
    const body = fc.array(byte, { maxLength: 12 }).map((values) => Uint8Array.from(values));
    fc.assert(
      fc.property(fc.array(body), (stored) => {
        assert.deepEqual(asText(readTogether(stored)), asText(stored));
      }),
    );
    const all = Uint8Array.from({ length: 65_536 * 2 }, (_, index) => (index % 2 === 0 ? index >> 9 : index >> 1)); // each byte after each
    assert.deepEqual(asText(readTogether([all, new Uint8Array(), all])), asText([all, new Uint8Array(), all]));
  });
});
