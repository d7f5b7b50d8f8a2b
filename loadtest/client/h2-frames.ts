/**
 * Just enough of HTTP/2 (RFC 9113) and HPACK (RFC 7541) to play a gRPC client with canned bytes, so that a load client costs next to nothing:
 * header fields are literals without indexing, and flow control windows are opened once, as wide as they go.
 */

export const FRAME_HEADER_BYTES = 9;
export const PING_BYTES = 8;
/** Bytes before each gRPC message: whether it is compressed, and its length. */
export const GRPC_PREFIX_BYTES = 5;
export const FRAME = { data: 0, headers: 1, rstStream: 3, settings: 4, ping: 6, goaway: 7, windowUpdate: 8, continuation: 9 } as const;
const FLAG = { endStream: 0x1, ack: 0x1, endHeaders: 0x4 } as const;
const WIDEST_WINDOW = 2 ** 31 - 1;
const DEFAULT_WINDOW = 65_535;
const SETTINGS_INITIAL_WINDOW_SIZE = 4;

/** A frame as it goes over the wire. */
export function frame(type: number, flags: number, streamId: number, payload: Uint8Array): Buffer {
  const bytes = Buffer.allocUnsafe(FRAME_HEADER_BYTES + payload.length);
  bytes.writeUIntBE(payload.length, 0, 3);
  bytes[3] = type;
  bytes[4] = flags;
  bytes.writeUInt32BE(streamId, 5);
  bytes.set(payload, FRAME_HEADER_BYTES);
  return bytes;
}

/** The first bytes of a client: the preface, its settings, and a connection window that never runs out. */
export const CLIENT_HELLO = clientHello();

function clientHello(): Buffer {
  const settings = Buffer.alloc(6);
  settings.writeUInt16BE(SETTINGS_INITIAL_WINDOW_SIZE, 0);
  settings.writeUInt32BE(WIDEST_WINDOW, 2);
  const window = Buffer.alloc(4);
  window.writeUInt32BE(WIDEST_WINDOW - DEFAULT_WINDOW);
  return Buffer.concat([
    Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "latin1"),
    frame(FRAME.settings, 0, 0, settings),
    frame(FRAME.windowUpdate, 0, 0, window),
  ]);
}

export const SETTINGS_ACK = frame(FRAME.settings, FLAG.ack, 0, new Uint8Array());
export const PING = frame(FRAME.ping, 0, 0, new Uint8Array(PING_BYTES));

/** Whether a SETTINGS or PING frame is the answer to one of ours. */
export function isAck(flags: number): boolean {
  return (flags & FLAG.ack) !== 0;
}

/** Whether a HEADERS or DATA frame is its stream's last. */
export function isEndOfStream(flags: number): boolean {
  return (flags & FLAG.endStream) !== 0;
}

/** The answer to the server's ping. @param payload its eight bytes */
export function pingAck(payload: Uint8Array): Buffer {
  return frame(FRAME.ping, FLAG.ack, 0, payload);
}

/** The HPACK block of a gRPC request. */
export function grpcHeaderBlock(authority: string, path: string, headers: Readonly<Record<string, string>>): Buffer {
  const fields = {
    ":method": "POST",
    ":scheme": "http",
    ":path": path,
    ":authority": authority,
    te: "trailers",
    "content-type": "application/grpc",
    ...headers,
  };
  return Buffer.concat(Object.entries(fields).map(([name, value]) => literalField(name, value)));
}

/** One gRPC request on a stream: headers, the message, end of stream. */
export function grpcRequest(streamId: number, headerBlock: Uint8Array, message: Uint8Array): Buffer {
  return Buffer.concat([
    frame(FRAME.headers, FLAG.endHeaders, streamId, headerBlock),
    frame(FRAME.data, FLAG.endStream, streamId, grpcMessage(message)),
  ]);
}

/** The beginning of a gRPC request to which more messages follow. */
export function grpcOpening(streamId: number, headerBlock: Uint8Array, message: Uint8Array): Buffer {
  return Buffer.concat([frame(FRAME.headers, FLAG.endHeaders, streamId, headerBlock), grpcNext(streamId, message)]);
}

/** One more message of a gRPC request. */
export function grpcNext(streamId: number, message: Uint8Array): Buffer {
  return frame(FRAME.data, 0, streamId, grpcMessage(message));
}

/** A gRPC message, not compressed, with its prefix. */
export function grpcMessage(message: Uint8Array): Buffer {
  const bytes = Buffer.allocUnsafe(GRPC_PREFIX_BYTES + message.length);
  bytes[0] = 0;
  bytes.writeUInt32BE(message.length, 1);
  bytes.set(message, GRPC_PREFIX_BYTES);
  return bytes;
}

function literalField(name: string, value: string): Buffer {
  return Buffer.concat([Buffer.from([0]), hpackString(name), hpackString(value)]);
}

/** A string without Huffman coding; its length is an integer with a 7-bit prefix (RFC 7541, 5.1). */
function hpackString(text: string): Buffer {
  const bytes = Buffer.from(text, "latin1");
  const length: number[] = [];
  if (bytes.length < 127) length.push(bytes.length);
  else {
    length.push(127);
    let rest = bytes.length - 127;
    for (; rest >= 128; rest >>= 7) length.push((rest & 0x7f) | 0x80);
    length.push(rest);
  }
  return Buffer.concat([Buffer.from(length), bytes]);
}
