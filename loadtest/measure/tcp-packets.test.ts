import { strict as assert } from "node:assert";
import { once } from "node:events";
import { connect, createServer, type Socket } from "node:net";
import { packetsIn, tcpPackets } from "./tcp-packets.ts";

describe("tcpPackets", () => {
  it("tcpPackets counts the packets that a connection sent and received", async () => {
    const server = createServer((socket) => socket.pipe(socket)).listen(0, "127.0.0.1");
    await once(server, "listening");
    const address = server.address();
    const port = typeof address === "object" && address !== null ? address.port : 0;
    const socket: Socket = connect(port, "127.0.0.1");
    await once(socket, "connect");
    const before = tcpPackets(socket.localPort ?? 0, port);
    socket.write("a");
    await once(socket, "data");
    const after = tcpPackets(socket.localPort ?? 0, port);
    socket.destroy();
    server.close();
    assert.ok(before >= 2 && before <= 4, `${before} packets of a handshake`);
    assert.ok(after - before >= 2 && after - before <= 4, `${after - before} packets of an echo`);
  });

  it("tcpPackets refuses a text that is not about one connection", () => {
    assert.throws(() => packetsIn(""), /ss names no packets of one connection: nothing/);
    assert.throws(() => packetsIn("segs_out:1 segs_in:1\nsegs_out:2 segs_in:1"), /of one connection/);
    assert.equal(packetsIn("ESTAB 0 0 127.0.0.1:1 127.0.0.1:2\n cubic segs_out:12 segs_in:30 data_segs_out:8"), 42);
  });
});
