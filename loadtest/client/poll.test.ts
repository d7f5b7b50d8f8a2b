import { strict as assert } from "node:assert";
import { once } from "node:events";
import { createServer, type RequestListener } from "node:http";
import type { Socket } from "node:net";
import { Pollers } from "./poll.ts";

/** A server, and a poll of it with some clients, in two slices. */
async function polled(listener: RequestListener, { once: isOnce = false, connections = 5 } = {}) {
  const server = createServer(listener);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  try {
    const address = server.address();
    assert.ok(typeof address === "object" && address !== null);
    const { port } = address;
    const request = `GET / HTTP/1.1\r\nHost: x\r\nConnection: ${isOnce ? "close" : "keep-alive"}\r\n\r\n`;
    const pollers = await Pollers.open({ port, request, connections, once: isOnce, warmUpMs: 50 });
    for (let slice = 0; slice < 2; slice++) await pollers.slice(100);
    return { ...pollers.finish(), firstAnswersMs: pollers.firstAnswersMs };
  } finally {
    server.closeAllConnections();
    server.close();
  }
}

describe("a client that polls", () => {
  it("a client that polls counts answers, on connections that are kept and on new ones", async () => {
    for (const isOnce of [false, true]) {
      const [bodies, connections] = [["a".repeat(5000), "b".repeat(5000)], new Set<unknown>()];
      let answered = 0;
      const figures = await polled(
        (request, response) => {
          connections.add(request.socket.remotePort);
          if (answered++ % 2 === 0) response.setHeader("x-request-id", "on some answers alone");
          response.end(bodies[answered % 2]);
        },
        { once: isOnce },
      );
      assert.ok(figures.requests > 20 && figures.requests <= answered, JSON.stringify(figures));
      assert.ok(
        figures.p50Ms > 0 && figures.p99Ms >= figures.p50Ms && figures.slowestShare > 0 && figures.slowestShare <= 1,
        JSON.stringify(figures),
      );
      assert.equal(connections.size > 20, isOnce, `${connections.size} connections`);
    }
  });

  it("a client that polls measures nothing before each connection was answered once, and is silent between its slices", async () => {
    const server = createServer((_, response) => void response.end("ok"));
    // A server that accepts slowly: one connection every 20 ms.
    const waiting: Socket[] = [];
    const [accept] = server.listeners("connection");
    server.removeAllListeners("connection").on("connection", (socket: Socket) => waiting.push(socket));
    const accepting = setInterval(() => {
      const socket = waiting.shift();
      if (socket !== undefined && accept !== undefined) Reflect.apply(accept, server, [socket]);
    }, 20);
    await once(server.listen(0, "127.0.0.1"), "listening");
    try {
      const address = server.address();
      assert.ok(typeof address === "object" && address !== null);
      const request = "GET / HTTP/1.1\r\nHost: x\r\nConnection: keep-alive\r\n\r\n";
      const pollers = await Pollers.open({ port: address.port, request, connections: 20, once: false, warmUpMs: 10 });
      assert.ok(pollers.firstAnswersMs >= 19 * 20 - 50, `${pollers.firstAnswersMs} ms`);
      await pollers.slice(100);
      let requests = 0;
      server.on("request", () => requests++);
      await new Promise<void>((resolve) => setImmediate(resolve));
      assert.equal(requests, 0, "it polled between its slices");
      await pollers.slice(100);
      assert.ok(requests > 0);
      const { slowestShare, requests: measured } = pollers.finish();
      assert.ok(slowestShare > 0.3, `the slowest connection got ${slowestShare} of the average of ${measured / 20}`);
    } finally {
      clearInterval(accepting);
      server.closeAllConnections();
      server.close();
    }
  });

  it("a client that polls takes no refusal, no other answer and no lost connection for a result", async () => {
    let answered = 0;
    const after =
      (ten: RequestListener): RequestListener =>
      (request, response) =>
        ++answered > 10 ? ten(request, response) : void response.end("ok");
    const bad: RequestListener[] = [
      (_, response) => void response.writeHead(401).end("no"),
      (_, response) => void response.end("another length"),
      (request) => void request.socket.destroy(),
    ];
    for (const listener of bad) {
      answered = 0;
      await assert.rejects(polled(after(listener)), /a poll failed/);
    }
  });
});
