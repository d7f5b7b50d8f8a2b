import { promisify } from "node:util";
import { gunzip, zstdDecompress } from "node:zlib";

// Decodes what a Fetch answer holds of one partition: record batches one after the other (Kafka's message format 2; KIP-98, KIP-110 for zstd).
//
// D1: no bytes make it throw. Unreadable bytes become one record with `unreadable`, at an offset that lets the consumer move on.
// D2: an answer is cut anywhere: a batch that is not whole at the end is left out, and fetched again.
// D3: what a batch unfolds to is bounded, in bytes and in records.

/** A record as kafkajs hands it on. */
export type FetchedRecord = Readonly<{
  magicByte: number;
  attributes: number;
  /** Milliseconds since 1970. */
  timestamp: string;
  offset: string;
  key: Buffer | null;
  value: Buffer | null;
  headers: Readonly<Record<string, Buffer>>;
  isControlRecord: boolean;
  batchContext: Readonly<{ producerId: string; inTransaction: boolean }>;
  /** Why the record cannot be read; its value is what was fetched. A record's own headers cannot set it. */
  unreadable?: string;
}>;

type BatchHeader = Readonly<{
  baseOffset: bigint;
  lastOffset: bigint;
  attributes: number;
  firstTimestamp: bigint;
  maxTimestamp: bigint;
  producerId: bigint;
  count: number;
}>;

/** Bytes of offset and length, which all formats begin with. */
const ENTRY_HEAD = 12;
const MAGIC_AT = 16;
const BATCH_HEAD = 61;
/** The largest batch after decompression, bytes: far above what a producer gathers, and far below what would fill the memory. */
const LARGEST_BATCH = 64 * 1024 * 1024;
const MOST_RECORDS = 100_000;
const CODEC_NAMES = ["none", "gzip", "snappy", "lz4", "zstd"] as const;
const [GZIP, ZSTD] = [1, 4];
const LOG_APPEND_TIME = 0x08;
const TRANSACTIONAL = 0x10;
const CONTROL = 0x20;

const unzip = promisify<Buffer, { maxOutputLength: number }, Buffer>(gunzip);
const unzstd = promisify<Buffer, { maxOutputLength: number }, Buffer>(zstdDecompress);

/** The records of a partition's part of a Fetch answer. Never rejects (D1). */
export async function decodeRecordSet(set: Buffer): Promise<FetchedRecord[]> {
  const records: FetchedRecord[] = [];
  for (let at = 0; at + ENTRY_HEAD <= set.length; ) {
    const length = set.readInt32BE(at + 8);
    const end = at + ENTRY_HEAD + length;
    if (length < 0 || end > set.length) break; // D2
    const entry = set.subarray(at, end);
    const decoded = entry.length >= BATCH_HEAD && entry[MAGIC_AT] === 2 ? await decodeBatch(entry) : [olderFormat(entry)];
    for (const record of decoded) records.push(record);
    at = end;
  }
  return records;
}

async function decodeBatch(batch: Buffer): Promise<readonly FetchedRecord[]> {
  const header = readHeader(batch);
  if (header.count === 0) return [emptied(header)];
  if (header.count < 0 || header.count > MOST_RECORDS) return [unreadableBatch(header, batch, `a batch of ${header.count} records`)];
  try {
    const payload = await decompress(batch.subarray(BATCH_HEAD), header.attributes & 0x07);
    return decodeRecords(payload, header);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    return [unreadableBatch(header, batch, `a batch of ${header.count} records cannot be decompressed: ${why}`)];
  }
}

function readHeader(batch: Buffer): BatchHeader {
  const baseOffset = batch.readBigInt64BE(0);
  return {
    baseOffset,
    lastOffset: baseOffset + BigInt(Math.max(0, batch.readInt32BE(23))),
    attributes: batch.readInt16BE(21),
    firstTimestamp: batch.readBigInt64BE(27),
    maxTimestamp: batch.readBigInt64BE(35),
    producerId: batch.readBigInt64BE(43),
    count: batch.readInt32BE(57),
  };
}

async function decompress(payload: Buffer, codec: number): Promise<Buffer> {
  if (codec === 0) return payload;
  if (codec === GZIP) return unzip(payload, { maxOutputLength: LARGEST_BATCH }); // D3
  if (codec === ZSTD) return unzstd(payload, { maxOutputLength: LARGEST_BATCH }); // D3
  throw new Error(`it is compressed with ${CODEC_NAMES[codec] ?? `codec ${codec}`}; use gzip, zstd or none`);
}

/** The records of a batch. A record whose own bytes are damaged is one unreadable record; where its length is, the rest of the batch is one. */
function decodeRecords(payload: Buffer, header: BatchHeader): FetchedRecord[] {
  const records: FetchedRecord[] = [];
  const reader = new Reader(payload);
  for (let index = 0; index < header.count; index++) {
    const begin = reader.at;
    const bytes = attempt(() => reader.bytes(reader.varint()));
    if (bytes === undefined) {
      const rest = payload.subarray(begin);
      records.push(unreadable(header, header.lastOffset, rest, `${header.count - index} records of a batch have no valid length`));
      return records;
    }
    const offset = header.baseOffset + BigInt(index);
    records.push(attempt(() => decodeRecord(bytes, header)) ?? unreadable(header, offset, bytes, "a record is damaged"));
  }
  return records;
}

function decodeRecord(bytes: Buffer, header: BatchHeader): FetchedRecord {
  const reader = new Reader(bytes);
  const attributes = reader.byte();
  const timestampDelta = reader.varlong();
  const offset = header.baseOffset + BigInt(reader.varint());
  if (offset < header.baseOffset || offset > header.lastOffset) throw new RangeError("an offset outside the batch");
  const key = reader.nullable();
  const value = reader.nullable();
  const headers: Record<string, Buffer> = Object.create(null);
  for (let left = reader.varint(); left > 0; left--) headers[reader.bytes(reader.varint()).toString()] = reader.nullable() ?? Buffer.alloc(0);
  const timestamp = header.attributes & LOG_APPEND_TIME ? header.maxTimestamp : header.firstTimestamp + timestampDelta;
  return { ...contextOf(header), attributes, timestamp: String(timestamp), offset: String(offset), key, value, headers };
}

function contextOf({ attributes, producerId }: BatchHeader) {
  const batchContext = { producerId: String(producerId), inTransaction: (attributes & TRANSACTIONAL) !== 0 };
  return { magicByte: 2, isControlRecord: (attributes & CONTROL) !== 0, batchContext };
}

function unreadable(header: BatchHeader, offset: bigint, value: Buffer, why: string): FetchedRecord {
  const timestamp = String(header.maxTimestamp);
  return { ...contextOf(header), attributes: 0, timestamp, offset: String(offset), key: null, value, headers: {}, unreadable: why };
}

function unreadableBatch(header: BatchHeader, batch: Buffer, why: string): FetchedRecord {
  return unreadable(header, header.lastOffset, batch, why);
}

/** A batch whose records were all removed by compaction: a control record, which kafkajs skips, lets the consumer move on. */
function emptied(header: BatchHeader): FetchedRecord {
  const at = { timestamp: String(header.maxTimestamp), offset: String(header.lastOffset) };
  return { ...contextOf(header), ...at, isControlRecord: true, attributes: 0, key: null, value: null, headers: {} };
}

/** An entry of message format 0 or 1, which brokers before 0.11 wrote, or of a format to come. */
function olderFormat(entry: Buffer): FetchedRecord {
  const magic = entry.length > MAGIC_AT ? entry.readInt8(MAGIC_AT) : -1;
  return {
    magicByte: magic,
    attributes: 0,
    timestamp: "0",
    offset: String(entry.readBigInt64BE(0)),
    key: null,
    value: entry,
    headers: {},
    isControlRecord: false,
    batchContext: { producerId: "-1", inTransaction: false },
    unreadable: `a record of message format ${magic}; this version reads format 2`,
  };
}

function attempt<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch {
    return undefined; // D1: a RangeError of Buffer or Reader
  }
}

/** Reads Kafka's variable-length integers, which are zigzag coded, and what they measure. Throws RangeError past the end. */
class Reader {
  readonly #bytes: Buffer;
  at = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  byte(): number {
    return this.#bytes.readInt8(this.at++);
  }

  varint(): number {
    let value = 0;
    for (let shift = 0; shift < 35; shift += 7) {
      const byte = this.#bytes.readUInt8(this.at++);
      value |= (byte & 0x7f) << shift;
      if ((byte & 0x80) === 0) return (value >>> 1) ^ -(value & 1);
    }
    throw new RangeError("a number of more than 32 bits");
  }

  varlong(): bigint {
    let value = 0n;
    for (let shift = 0n; shift < 70n; shift += 7n) {
      const byte = this.#bytes.readUInt8(this.at++);
      value |= BigInt(byte & 0x7f) << shift;
      if ((byte & 0x80) === 0) return (value >> 1n) ^ -(value & 1n);
    }
    throw new RangeError("a number of more than 64 bits");
  }

  bytes(length: number): Buffer {
    if (length < 0 || this.at + length > this.#bytes.length) throw new RangeError("a length beyond the end");
    this.at += length;
    return this.#bytes.subarray(this.at - length, this.at);
  }

  nullable(): Buffer | null {
    const length = this.varint();
    return length === -1 ? null : this.bytes(length);
  }
}
