import { connect } from "node:net";

/** The first bytes of a client of HTTP/2: the preface, and an empty SETTINGS frame. */
const HELLO = Buffer.concat([Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), Buffer.from([0, 0, 0, 4, 0, 0, 0, 0, 0])]);
/** A frame's head, bytes; its fourth is the type, and a server's first frame is SETTINGS. */
const HEAD_BYTES = 9;
const SETTINGS = 4;

/** Whether HTTP/2 in clear text is spoken at an address, as gRPC is. False where nothing answers within the time, milliseconds. Never rejects. */
export function speaksHttp2({ host, port }: Readonly<{ host: string; port: number }>, limitMs: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host, port });
    let seen = Buffer.alloc(0);
    const end = (answer: boolean) => {
      socket.destroy();
      resolve(answer);
    };
    socket.setTimeout(limitMs, () => end(false));
    socket.on("error", () => end(false));
    socket.on("close", () => end(false));
    socket.on("connect", () => socket.write(HELLO));
    socket.on("data", (chunk: Buffer) => {
      seen = Buffer.concat([seen, chunk]);
      if (seen.length >= HEAD_BYTES) end(seen[3] === SETTINGS && seen.readUInt32BE(5) === 0);
    });
  });
}
