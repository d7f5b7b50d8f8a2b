/**
 * Messages in protobuf's wire format: as protobuf-es decodes and encodes them, and several times faster where there is generated code for a message
 * (proto/plugin/protoc-gen-codecs.ts).
 *
 * That code is for what is usual. A message with anything else (an unknown field, a negative number, bytes that are damaged) is left to protobuf-es as a whole: its
 * unknown fields are kept, and it is refused for the same reason.
 */
import { type DescMessage, fromBinary, isMessage, type MessageShape, toBinary } from "@bufbuild/protobuf";
import { CODECS, type Codec } from "../../gen/nebula/v1/codecs.ts";
import { WireReader } from "./field-reader.ts";
import { WireWriter } from "./field-writer.ts";

type Tools = Readonly<{ codecs: ReadonlyMap<DescMessage, Codec>; reader: WireReader; writer: WireWriter }>;

let made: Tools | undefined;

/** Makes the reader and the writer for the first message: a program without any takes no memory for them, and its bundle leaves their code out. */
function tools(): Tools {
  made ??= { codecs: new Map(CODECS.map((codec) => [codec.schema, codec])), reader: new WireReader(), writer: new WireWriter() };
  return made;
}

/** Decodes a message. Throws as `fromBinary` does. Its `bytes` fields are views of the bytes. */
export function readMessage<Desc extends DescMessage>(schema: Desc, bytes: Uint8Array): MessageShape<Desc> {
  const { codecs, reader } = tools();
  const codec = codecs.get(schema);
  if (codec === undefined) return fromBinary(schema, bytes);
  reader.start(bytes);
  const message = codec.read(reader, bytes.length);
  return reader.at === bytes.length && isMessage(message, schema) ? message : fromBinary(schema, bytes);
}

/** Decodes messages whose bytes are one after the other, of these lengths. Otherwise as `readMessage`. */
export function readMessages<Desc extends DescMessage>(schema: Desc, bytes: Uint8Array, lengths: readonly number[]): MessageShape<Desc>[] {
  const { codecs, reader } = tools();
  const codec = codecs.get(schema);
  reader.start(bytes);
  let start = 0;
  return lengths.map((length) => {
    const end = start + length;
    reader.at = start;
    const message = codec?.read(reader, end);
    const isRead = reader.at === end && isMessage(message, schema);
    const read = isRead ? message : fromBinary(schema, bytes.subarray(start, end));
    start = end;
    return read;
  });
}

/** Encodes a message. Throws as `toBinary` does. */
export function writeMessage<Desc extends DescMessage>(schema: Desc, message: MessageShape<Desc>): Uint8Array {
  const { codecs, writer } = tools();
  const codec = codecs.get(schema);
  return (codec && writer.bytesOf(() => codec.write(message, writer))) ?? toBinary(schema, message);
}
