import { strict as assert } from "node:assert";
import { createServer, type RequestListener } from "node:http";
import { poll } from "./poll.ts";

/** A server, and a poll of it with 5 clients. */
async function polled(listener: RequestListener, { once = false } = {}) {
  const server = createServer(listener);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  try {
    const address = server.address();
    assert.ok(typeof address === "object" && address !== null);
    const { port } = address;
    const request = `GET / HTTP/1.1\r\nHost: x\r\nConnection: ${once ? "close" : "keep-alive"}\r\n\r\n`;
    return await poll({ port, request, connections: 5, once, warmUpMs: 50, measureMs: 200 }, () => {});
  } finally {
    server.closeAllConnections();
    server.close();
  }
}

describe("a client that polls", () => {
  it("counts what is answered, on connections that are kept and on new ones", async () => {
    for (const once of [false, true]) {
      const [bodies, connections] = [["a".repeat(5000), "b".repeat(5000)], new Set<unknown>()];
      let answered = 0;
      const figures = await polled(
        (request, response) => {
          connections.add(request.socket.remotePort);
          if (answered++ % 2 === 0) response.setHeader("x-request-id", "on some answers alone");
          response.end(bodies[answered % 2]);
        },
        { once },
      );
      assert.ok(figures.requests > 20 && figures.requests <= answered, JSON.stringify(figures));
      assert.ok(
        figures.p50Ms > 0 && figures.p99Ms >= figures.p50Ms && figures.slowestShare > 0 && figures.slowestShare <= 1,
        JSON.stringify(figures),
      );
      assert.equal(connections.size > 20, once, `${connections.size} connections`);
    }
  });

  it("takes no refusal, no other answer and no lost connection for a result", async () => {
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
