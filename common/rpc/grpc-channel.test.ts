import { strict as assert } from "node:assert";
import { once } from "node:events";
import { createServer, type Socket } from "node:net";
import { credentials } from "@grpc/grpc-js";
import { isNebulaError } from "../errors/nebula-error.ts";
import { eventually } from "../testing/eventually.ts";
import { GrpcChannel } from "./grpc-channel.ts";

const isClosed = (error: unknown) => isNebulaError(error, "unavailable") && /was closed/.test(error.message);

describe("a gRPC channel", () => {
  it("that is closed while it waits for its connection tells so at once, and connects no more", async () => {
    const sockets: Socket[] = [];
    const server = createServer((socket) => void sockets.push(socket)); // takes connections, and says nothing
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    const address = server.address();
    assert.ok(typeof address === "object" && address !== null);
    const open = () => new GrpcChannel(`127.0.0.1:${address.port}`, credentials.createInsecure());

    const closed = open();
    const waiting = assert.rejects(closed.ready(60_000), isClosed);
    closed[Symbol.dispose]();
    await waiting;
    assert.equal(closed.connected, false);
    await assert.rejects(closed.ready(60_000), isClosed);

    const next = open();
    try {
      assert.equal(next.connected, false);
      await eventually(() => sockets.length > 0);
      assert.equal(sockets.length, 1, "the connection of the next channel alone");
    } finally {
      next[Symbol.dispose]();
      server.close();
      for (const socket of sockets) socket.destroy();
    }
  });

  it("that nobody answers is told apart by its time", async () => {
    using channel = new GrpcChannel("127.0.0.1:1", credentials.createInsecure());
    await assert.rejects(channel.ready(50), (error) => isNebulaError(error, "unavailable") && /not connected within 50 ms/.test(error.message));
  });
});
