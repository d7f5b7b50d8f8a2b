import { createRequire } from "node:module";
import { zstdCompressSync } from "node:zlib";

type Codec = Readonly<{ compress(records: Readonly<{ buffer: Buffer }>): Promise<Buffer>; decompress(bytes: Buffer): Promise<Buffer> }>;

const SNAPPY = 2;
const ZSTD = 4;
/** The longest literal whose length is in its first byte. */
const LITERAL = 60;

/** Gives the producers of kafkajs the codecs of other clients, which it brings none for. */
export function compressAsOtherClients(): void {
  const { Codecs }: { Codecs: Record<number, () => Codec> } = createRequire(import.meta.url)("kafkajs/src/protocol/message/compression");
  const codec = (compress: (bytes: Buffer) => Buffer): Codec => ({
    compress: async ({ buffer }) => compress(buffer),
    decompress: async (bytes) => bytes,
  });
  Codecs[SNAPPY] = () => codec(snappy);
  Codecs[ZSTD] = () => codec((bytes) => zstdCompressSync(bytes));
}

/** Snappy in the frame of Java's clients, of literals alone: what other clients write, as far as a broker looks. */
function snappy(bytes: Buffer): Buffer {
  const pieces: Buffer[] = [varint(bytes.length)];
  for (let at = 0; at < bytes.length; at += LITERAL) {
    const piece = bytes.subarray(at, at + LITERAL);
    pieces.push(Buffer.from([(piece.length - 1) << 2]), piece);
  }
  const block = Buffer.concat(pieces);
  const length = Buffer.alloc(4);
  length.writeInt32BE(block.length);
  return Buffer.concat([Buffer.from([0x82, 0x53, 0x4e, 0x41, 0x50, 0x50, 0x59, 0, 0, 0, 0, 1, 0, 0, 0, 1]), length, block]);
}

function varint(value: number): Buffer {
  const bytes: number[] = [];
  for (let left = value; ; left >>>= 7) {
    if (left < 0x80) return Buffer.from([...bytes, left]);
    bytes.push((left & 0x7f) | 0x80);
  }
}
