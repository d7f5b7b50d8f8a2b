import { strict as assert } from "node:assert";
import { existsSync, readFileSync } from "node:fs";
import { createServer } from "node:http";
import { connect } from "node:net";
import { setImmediate as turn } from "node:timers/promises";
import { listen } from "./listen.ts";

const SOMAXCONN = "/proc/sys/net/core/somaxconn";
/** More than Node's own backlog of 511, where the kernel allows it. */
const CLIENTS = Math.min(1500, existsSync(SOMAXCONN) ? Number(readFileSync(SOMAXCONN, "utf8")) : 128);

describe("a server that listens", () => {
  it(`${CLIENTS} connections that come at once wait to be accepted, and none is turned away for a second or more`, async () => {
    const server = createServer();
    const { port } = await listen(server, { host: "127.0.0.1", port: 0 }, "NEBULA_HTTP_LISTEN");
    let connected = 0;
    const sockets = Array.from({ length: CLIENTS }, () =>
      connect(port, "127.0.0.1")
        .on("connect", () => connected++)
        .on("error", () => {}),
    );
    try {
      for (let turns = 0; turns < 20; turns++) await turn(); // Node accepts one connection per turn
      assert.equal(connected, CLIENTS);
    } finally {
      for (const socket of sockets) socket.destroy();
      server.close();
      server.closeAllConnections();
    }
  });
});
