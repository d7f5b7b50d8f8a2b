import { strict as assert } from "node:assert";
import { once } from "node:events";
import { createServer, globalAgent, type RequestListener } from "node:http";
import { buffer } from "node:stream/consumers";
import { Code, ConnectError } from "@connectrpc/connect";
import type { UniversalClientResponse } from "@connectrpc/connect/protocol";
import { eventually } from "../../../common/testing/eventually.ts";
import { createHttp1Client } from "./http1-client.ts";

/** A server of its own on the loopback address. */
async function serve(answer: RequestListener): Promise<AsyncDisposable & { url: string }> {
  const server = createServer({ keepAliveTimeout: 60_000 }, answer).listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  assert.ok(typeof address === "object" && address !== null);
  return {
    url: `http://127.0.0.1:${address.port}/nebula.v1.AppService/GetApp`,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      server.close();
    },
  };
}

async function* chunks(...texts: readonly string[]): AsyncGenerator<Uint8Array> {
  for (const text of texts) yield Buffer.from(text);
}

const call = (url: string, signal?: AbortSignal) =>
  createHttp1Client()({ url, method: "POST", header: new Headers({ "x-asked": "yes" }), body: chunks("one ", "two"), ...(signal ? { signal } : {}) });

const bodyOf = ({ body }: UniversalClientResponse) => buffer(body).then(String);

describe("the HTTP/1.1 client of nebulactl", () => {
  it("the HTTP/1.1 client sends headers and the whole body, and answers the status, every value of a header and the body", async () => {
    await using server = await serve(async (request, response) => {
      const body = await buffer(request);
      response.writeHead(
        418,
        [
          ["x-twice", "a"],
          ["x-twice", "b"],
        ].flat(),
      );
      response.end(`${request.method} ${request.headers["x-asked"]} ${body}`);
    });
    const answer = await call(server.url);
    assert.deepEqual([answer.status, answer.header.get("x-twice"), await bodyOf(answer)], [418, "a, b", "POST yes one two"]);
  });

  it("the HTTP/1.1 client answers that a server which does not run is unavailable, with the system's error as the cause", async () => {
    const server = await serve(() => {});
    await server[Symbol.asyncDispose]();
    await assert.rejects(call(server.url), (error) => {
      assert.ok(error instanceof ConnectError);
      assert.equal(error.code, Code.Unavailable);
      assert.match(String(error.cause), /ECONNREFUSED/);
      return true;
    });
  });

  it("the HTTP/1.1 client reports a connection that ends before the answer, and in the middle of it", async () => {
    await using before = await serve((request) => request.socket.destroy());
    await assert.rejects(call(before.url), { code: Code.Aborted });
    await using middle = await serve((_, response) => {
      response.writeHead(200, { "content-length": "100" });
      response.write("half", () => response.destroy());
    });
    await assert.rejects(bodyOf(await call(middle.url)), { code: Code.Aborted });
  });

  it("the HTTP/1.1 client ends with the reason of its signal, before the answer and in the middle of it", async () => {
    await using silent = await serve(() => {});
    const reason = new ConnectError("the call took too long", Code.DeadlineExceeded);
    const first = new AbortController();
    const waiting = assert.rejects(call(silent.url, first.signal), (error) => error === reason);
    first.abort(reason);
    await waiting;

    await using slow = await serve((_, response) => void response.write("half"));
    const second = new AbortController();
    const answer = await call(slow.url, second.signal);
    const reading = assert.rejects(bodyOf(answer), (error) => error === reason);
    second.abort(reason);
    await reading;
  });

  it("the HTTP/1.1 client closes the connection of an answer that came whole and was not read to its end, at the abort of its signal", async () => {
    const end = Promise.withResolvers<void>();
    await using server = await serve((_, response) => {
      response.write("half");
      void end.promise.then(() => response.end("rest"));
    });
    const over = new AbortController();
    const answer = await call(server.url, over.signal);
    const reading = answer.body[Symbol.asyncIterator]();
    assert.equal(String((await reading.next()).value), "half");
    const [socket] = Object.entries(globalAgent.sockets).flatMap(([name, sockets = []]) => (name.includes(new URL(server.url).port) ? sockets : []));
    assert.ok(socket !== undefined);
    const before = socket.bytesRead;
    end.resolve();
    await eventually(() => assert.ok(socket.bytesRead > before));
    over.abort();
    await eventually(() => assert.ok(socket.destroyed));
  });
});
