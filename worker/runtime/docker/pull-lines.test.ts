import assert from "node:assert/strict";
import fc from "fast-check";
import { jsonLines } from "./pull.ts";

describe("a stream of JSON lines", () => {
  it("a stream of JSON lines is the same for any cuts, also with other characters between the values", async () => {
    const values = fc.array(fc.record({ text: fc.string({ unit: "grapheme" }), n: fc.integer() }, { noNullPrototype: true }), { maxLength: 5 });
    await fc.assert(
      fc.asyncProperty(values, fc.array(fc.nat(40), { maxLength: 8 }), fc.constantFrom("\n", "\r\n", "\n\u001e", "\n\n"), async (sent, cuts, end) => {
        const bytes = Buffer.from(sent.map((value) => JSON.stringify(value) + end).join(""));
        const chunks: Uint8Array[] = [];
        let from = 0;
        for (const cut of cuts) {
          chunks.push(bytes.subarray(from, from + cut));
          from += cut;
        }
        chunks.push(bytes.subarray(from));
        assert.deepEqual(await all(jsonLines(streamOf(chunks))), sent);
      }),
    );
  });

  it("a stream of JSON lines leaves out lines that are not JSON, and reads a last line without an end", async () => {
    assert.deepEqual(await all(jsonLines(streamOf([Buffer.from('{"a":1}\n<html>\n{"b":2}')]))), [{ a: 1 }, { b: 2 }]);
  });

  it("a stream of JSON lines does not keep a line that never ends", async () => {
    const megabyte = Buffer.alloc(1024 * 1024, "x");
    assert.deepEqual(await all(jsonLines(streamOf([megabyte, megabyte, Buffer.from('\n{"a":1}\n')]))), [{ a: 1 }]);
  });
});

async function* streamOf(chunks: readonly Uint8Array[]): AsyncGenerator<Uint8Array, void> {
  yield* chunks;
}

async function all(values: AsyncIterable<unknown>): Promise<unknown[]> {
  return Array.fromAsync(values);
}
