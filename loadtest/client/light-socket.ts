import { connect, type Socket } from "node:net";
import type { DeviceTarget } from "./device.ts";

/** One buffer for all sockets of the process: what is read is looked at once and never kept. */
const READ_BUFFER = Buffer.alloc(64 * 1024);

export type SocketListener = Readonly<{
  /** The first `length` bytes of the chunk were read; they are gone after the call. */
  onData(chunk: Uint8Array, length: number): void;
  /** The connection is over; not called after a `destroy()`. */
  onLost(reason: string): void;
}>;

/** A socket to the loopback address that reads without allocating. */
export function openLightSocket({ port, localAddress }: DeviceTarget, listener: SocketListener): Socket {
  const socket = connect({
    host: "127.0.0.1",
    port,
    localAddress,
    noDelay: true,
    onread: {
      buffer: READ_BUFFER,
      callback: (length, chunk) => {
        listener.onData(chunk, length);
        return true;
      },
    },
  });
  let lost = "the server closed the connection";
  socket.on("error", (error) => {
    lost = error.message;
  });
  socket.on("end", () => listener.onLost(lost));
  socket.on("close", (hadError) => {
    if (hadError) listener.onLost(lost);
  });
  return socket;
}
