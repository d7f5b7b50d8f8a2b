import { strict as assert } from "node:assert";
import { once } from "node:events";
import { connect, createServer, type ServerHttp2Stream } from "node:http2";
import type { Socket } from "node:net";
import { Connections, peerOf } from "./connections.ts";

describe("the peer of a connection", () => {
  it("the peer of a connection is computed once, and is the same text for its socket, for its HTTP/2 session and after its end", async () => {
    const connections = new Connections();
    const server = createServer();
    const sockets: Socket[] = [];
    server.prependListener("connection", (socket: Socket) => {
      sockets.push(socket);
      connections.add(socket);
    });
    await once(server.listen(0, "127.0.0.1"), "listening");
    const address = server.address();
    assert.ok(typeof address === "object" && address !== null);
    const client = connect(`http://127.0.0.1:${address.port}`);
    try {
      const arrived = once(server, "stream");
      client.on("error", () => {});
      client.request({ ":path": "/" }).on("error", () => {});
      const [stream]: ServerHttp2Stream[] = await arrived;
      const shown = stream?.session?.socket;
      const [socket] = sockets;
      assert.ok(shown !== undefined && socket !== undefined && shown !== socket);
      const expected = `127.0.0.1:${client.socket.localPort}`;
      assert.deepEqual([peerOf(socket), peerOf(shown)], [expected, expected]);
      assert.equal(connections.of(peerOf(shown)), socket);
      let reads = 0;
      Object.defineProperty(socket, "remotePort", { get: () => reads++, configurable: true });
      assert.equal(peerOf(shown), expected);
      assert.equal(reads, 0, "it was put together again");
      const closed = once(socket, "close");
      client.destroy();
      await closed;
      assert.equal(peerOf(socket), expected);
      assert.equal(connections.size, 0);
    } finally {
      client.destroy();
      server.close();
    }
  });

  it("the peer of a socket that was never added is its address and port of now", () => {
    assert.equal(peerOf({ remoteAddress: "192.0.2.7", remotePort: 80 }), "192.0.2.7:80");
  });
});
