import { once } from "node:events";
import { type ClientHttp2Session, type ClientHttp2Stream, connect, type IncomingHttpHeaders } from "node:http2";

/** A gRPC client that does what no client should: malformed messages, streams that are not read, no pings. */
export class RawClient implements AsyncDisposable {
  readonly session: ClientHttp2Session;

  constructor(port: number) {
    this.session = connect(`http://127.0.0.1:${port}`);
    this.session.on("error", () => {});
  }

  /** A call with one message of any bytes. */
  call(path: string, message: Uint8Array, headers: Readonly<Record<string, string>> = {}): ClientHttp2Stream {
    const stream = this.session.request({ ":method": "POST", ":path": path, "content-type": "application/grpc", te: "trailers", ...headers });
    stream.on("error", () => {});
    stream.end(framed(message));
    return stream;
  }

  /** The gRPC status that a call ended with. */
  async status(path: string, message: Uint8Array, headers: Readonly<Record<string, string>> = {}): Promise<number> {
    const stream = this.call(path, message, headers);
    let status: unknown;
    const note = (received: IncomingHttpHeaders) => {
      status = received["grpc-status"] ?? status;
    };
    stream.on("response", note);
    stream.on("trailers", note);
    stream.resume();
    await once(stream, "close");
    return Number(status);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.session.destroyed) return;
    const closed = once(this.session, "close");
    this.session.destroy();
    await closed;
  }
}

/** Puts gRPC's prefix before a message. */
export function framed(message: Uint8Array): Buffer {
  const prefix = Buffer.alloc(5);
  prefix.writeUInt32BE(message.length, 1);
  return Buffer.concat([prefix, message]);
}
