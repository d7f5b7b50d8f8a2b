import { strict as assert } from "node:assert";
import { once } from "node:events";
import { createServer } from "node:net";
import { credentials } from "@grpc/grpc-js";
import { isNebulaError } from "../errors/nebula-error.ts";
import { eventually } from "../testing/eventually.ts";
import { GrpcChannel } from "./grpc-channel.ts";

const isClosed = (error: unknown) => isNebulaError(error, "unavailable") && /was closed/.test(error.message);
const SOON = { "grpc.initial_reconnect_backoff_ms": 50, "grpc.min_reconnect_backoff_ms": 50, "grpc.max_reconnect_backoff_ms": 50 };

/** A server that hangs up at once, and counts how often. */
async function refusing() {
  let connections = 0;
  const server = createServer((socket) => {
    connections++;
    socket.destroy();
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  assert.ok(typeof address === "object" && address !== null);
  return {
    open: () => new GrpcChannel(`127.0.0.1:${address.port}`, credentials.createInsecure(), SOON),
    get connections() {
      return connections;
    },
    [Symbol.dispose]: () => void server.close(),
  };
}

describe("a gRPC channel", () => {
  for (const when of ["before it looked its address up", "between two tries"]) {
    it(`a gRPC channel that is closed ${when} rejects at once, and does not connect again`, async () => {
      using server = await refusing();
      const channel = server.open();
      const waiting = assert.rejects(channel.ready(60_000), isClosed);
      if (when === "between two tries") await eventually(() => server.connections > 1);
      channel[Symbol.dispose]();
      const before = server.connections;
      await waiting;
      assert.equal(channel.connected, false);
      await assert.rejects(channel.ready(60_000), isClosed);

      // Another one, which is not closed, tells how often this one would have tried meanwhile.
      using elsewhere = await refusing();
      using other = elsewhere.open();
      await eventually(() => !other.connected && elsewhere.connections >= 6);
      assert.ok(server.connections <= before + 1, `${server.connections - before} connections after the end; one may have been under way`);
    });
  }

  it("a gRPC channel without an answer is recognised by its time", async () => {
    using channel = new GrpcChannel("127.0.0.1:1", credentials.createInsecure());
    await assert.rejects(channel.ready(50), (error) => isNebulaError(error, "unavailable") && /not connected within 50 ms/.test(error.message));
  });
});
