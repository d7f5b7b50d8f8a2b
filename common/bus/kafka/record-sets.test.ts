import { strict as assert } from "node:assert";
import { createRequire } from "node:module";
import { gzipSync, zstdCompressSync } from "node:zlib";
import fc from "fast-check";
import { decodeRecordSet, type FetchedRecord } from "./record-sets.ts";

type Encoded = { buffer: Buffer };
const load = createRequire(import.meta.url);
// The encoders of kafkajs, which brokers accept.
const encodeRecord: (record: object) => Encoded = load("kafkajs/src/protocol/recordBatch/record/v0");
const { RecordBatch: encodeBatch }: { RecordBatch: (batch: object) => Promise<Encoded> } = load("kafkajs/src/protocol/recordBatch/v0");
const Long: { fromValue(value: string): object } = load("kafkajs/src/utils/long");

const HEAD = 61;
const ATTRIBUTES_AT = 21;
const COUNT_AT = 57;
const [GZIP, SNAPPY, ZSTD] = [1, 2, 4];
const LOG_APPEND_TIME = 8;
const FIRST_TIME = 1_700_000_000_000;

/** A batch of these values, whose keys are k0, k1 and so on, at an offset. */
async function batchOf(values: readonly (string | null)[], offset = 0n): Promise<Buffer> {
  const records = values.map((value, index) =>
    encodeRecord({
      offsetDelta: index,
      timestampDelta: index * 10,
      key: Buffer.from(`k${index}`),
      value: value === null ? null : Buffer.from(value),
      headers: { from: Buffer.from("a worker") },
    }),
  );
  const at = { firstTimestamp: FIRST_TIME, maxTimestamp: FIRST_TIME + 5_000, firstOffset: Long.fromValue(String(offset)) };
  return (await encodeBatch({ ...at, lastOffsetDelta: values.length - 1, records })).buffer;
}

/** The batch with its records replaced by these bytes, and its attributes by these. */
function withPayload(batch: Buffer, payload: Buffer, attributes: number): Buffer {
  const whole = Buffer.concat([batch.subarray(0, HEAD), payload]);
  whole.writeInt32BE(whole.length - 12, 8);
  whole.writeInt16BE(attributes, ATTRIBUTES_AT);
  return whole;
}

function values(records: readonly FetchedRecord[]): (string | undefined)[] {
  return records.map(({ value }) => value?.toString());
}

describe("a record set of Kafka", () => {
  it("a record set is decoded with keys, values, headers, offsets and times", async () => {
    const [first, second] = await decodeRecordSet(await batchOf(["one", null], 40n));
    assert.ok(first && second);
    assert.deepEqual([first.key?.toString(), first.value?.toString(), first.offset, first.timestamp], ["k0", "one", "40", String(FIRST_TIME)]);
    assert.equal(first.headers.from?.toString(), "a worker");
    assert.deepEqual([second.value, second.offset, second.timestamp, second.unreadable], [null, "41", String(FIRST_TIME + 10), undefined]);
  });

  it("a record set has the broker's time where the topic says so", async () => {
    const batch = await batchOf(["one", "two"]);
    const records = await decodeRecordSet(withPayload(batch, batch.subarray(HEAD), LOG_APPEND_TIME));
    assert.deepEqual(
      records.map(({ timestamp }) => timestamp),
      [String(FIRST_TIME + 5_000), String(FIRST_TIME + 5_000)],
    );
  });

  it("a record set is decoded from gzip and zstd", async () => {
    const batch = await batchOf(["one", "two"]);
    const payload = batch.subarray(HEAD);
    const set = Buffer.concat([withPayload(batch, gzipSync(payload), GZIP), withPayload(batch, zstdCompressSync(payload), ZSTD)]);
    assert.deepEqual(values(await decodeRecordSet(set)), ["one", "two", "one", "two"]);
  });

  it("a batch that is cut at the end is left out of its record set", async () => {
    const set = Buffer.concat([await batchOf(["one"]), (await batchOf(["two"], 1n)).subarray(0, -1)]);
    assert.deepEqual(values(await decodeRecordSet(set)), ["one"]);
  });

  it("a batch that cannot be decompressed is one unreadable record at its last offset, and the batches around it are decoded", async () => {
    const batch = await batchOf(["two", "three"], 1n);
    const broken = [
      { bytes: withPayload(batch, Buffer.from("nonsense"), GZIP), why: /cannot be decompressed/ },
      { bytes: withPayload(batch, Buffer.from("nonsense"), ZSTD), why: /cannot be decompressed/ },
      { bytes: withPayload(batch, batch.subarray(HEAD), SNAPPY), why: /compressed with snappy; use gzip, zstd or none/ },
      { bytes: withPayload(batch, batch.subarray(HEAD), 3), why: /compressed with lz4/ },
      { bytes: withPayload(batch, batch.subarray(HEAD), 7), why: /compressed with codec 7/ },
      { bytes: withPayload(batch, gzipSync(Buffer.alloc(65 * 1024 * 1024)), GZIP), why: /cannot be decompressed/ },
    ];
    for (const { bytes, why } of broken) {
      const [first, unreadable, last, ...more] = await decodeRecordSet(Buffer.concat([await batchOf(["one"]), bytes, await batchOf(["four"], 3n)]));
      assert.deepEqual([first?.value?.toString(), last?.value?.toString(), more], ["one", "four", []]);
      assert.match(unreadable?.unreadable ?? "", why);
      assert.equal(unreadable?.offset, "2");
      assert.deepEqual(unreadable.value, bytes);
    }
  });

  it("a damaged record is unreadable at its own offset, and the others are decoded", async () => {
    const batch = await batchOf(["one", "two", "three"]);
    const at = batch.indexOf("k1") - 1; // the length of the second key
    batch[at] = 0x7e;
    const records = await decodeRecordSet(batch);
    assert.deepEqual(
      records.map(({ offset, unreadable }) => [offset, unreadable]),
      [
        ["0", undefined],
        ["1", "a record is damaged"],
        ["2", undefined],
      ],
    );
  });

  it("a batch of too many records is unreadable", async () => {
    const batch = await batchOf(["one"]);
    batch.writeInt32BE(2_000_000_000, COUNT_AT);
    const [only] = await decodeRecordSet(batch);
    assert.match(only?.unreadable ?? "", /2000000000 records/);
  });

  it("a batch of 90,000 records is decoded", async () => {
    const records = await decodeRecordSet(await batchOf(Array.from({ length: 90_000 }, () => "x")));
    assert.equal(records.length, 90_000);
    assert.equal(records.at(-1)?.offset, "89999");
  });

  it("a record of an older message format is unreadable", async () => {
    const batch = await batchOf(["one"], 7n);
    batch[16] = 1;
    const [only] = await decodeRecordSet(batch);
    assert.match(only?.unreadable ?? "", /message format 1/);
    assert.equal(only?.offset, "7");
  });

  it("a batch that compaction emptied is a control record, so that its reader moves on", async () => {
    const batch = withPayload(await batchOf(["one", "two"], 5n), Buffer.alloc(0), 0);
    batch.writeInt32BE(0, COUNT_AT);
    const [only, ...more] = await decodeRecordSet(batch);
    assert.deepEqual([only?.isControlRecord, only?.offset, more], [true, "6", []]);
  });

  it("decoding never throws, and never answers an offset outside its batch, for any damage behind the batch's length", async () => {
    const whole = await batchOf(["one", "two", "three"], 100n);
    const packed = withPayload(whole, gzipSync(whole.subarray(HEAD)), GZIP);
    const damage = fc.array(fc.tuple(fc.integer({ min: HEAD - 4, max: packed.length - 1 }), fc.integer({ min: 0, max: 255 })), { maxLength: 8 });
    await fc.assert(
      fc.asyncProperty(fc.constantFrom(whole, packed), damage, async (batch, changes) => {
        const bytes = Buffer.from(batch);
        for (const [at, byte] of changes) if (at < bytes.length) bytes[at] = byte;
        const next = await batchOf(["next"], 103n);
        const records = await decodeRecordSet(Buffer.concat([bytes, next]));
        assert.equal(records.at(-1)?.value?.toString(), "next");
        for (const { offset } of records) assert.ok(BigInt(offset) >= 100n && BigInt(offset) <= 103n, `offset ${offset}`);
      }),
    );
  });

  it("decoding never throws for any bytes", async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 200 }), async (bytes) => {
        assert.ok(Array.isArray(await decodeRecordSet(Buffer.from(bytes))));
      }),
    );
  });
});
