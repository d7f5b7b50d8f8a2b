import { strict as assert } from "node:assert";
import { once } from "node:events";
import { createServer as createHttpServer } from "node:http";
import { createServer, type Server } from "node:net";
import { nebulactl } from "../testing/test-cli.ts";
import { startTestServer } from "../testing/test-server.ts";

async function listening(server: Server): Promise<string> {
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("no port");
  return `127.0.0.1:${address.port}`;
}

async function said(url: string): Promise<string> {
  const { code, out, err } = await nebulactl(["ping", "--server", url], { env: { NEBULA_TOKEN: "t" } });
  assert.deepEqual([code, out], [1, ""]);
  assert.match(err, /^error: .+\n$/, "an error is one line");
  return err;
}

describe("a server that does not answer as one", () => {
  it("is told apart from one that speaks the other protocol", async () => {
    await using server = await startTestServer();
    assert.match(await said(server.http.replace("http", "grpc")), /does not answer in gRPC: if it is a gateway, write http:/);
    assert.match(await said(server.grpc.replace("grpc", "http")), /does not answer in HTTP: if it is a manager, write grpc:/);
    assert.match(await said(server.http.replace("http", "https")), /does not speak TLS: write http:/);
    assert.match(await said(server.grpc.replace("grpc", "grpcs")), /does not speak TLS: write grpc:/);
  });

  it("is one line on what to do when it is absent, another program, or hangs up", async () => {
    for (const scheme of ["http", "grpc"])
      assert.match(await said(`${scheme}://127.0.0.1:1`), /nothing answers at (http|grpc):\/\/127\.0\.0\.1:1 \(from --server\)/);
    await using web = createHttpServer((_, response) => response.writeHead(404, { "content-type": "text/html" }).end("<html>"));
    assert.match(await said(`http://${await listening(web)}`), /answers as no Nebula server does \(HTTP 404\)/);
    await using other = createHttpServer((_, response) => response.writeHead(405, { "content-type": "application/json" }).end('{"error":"no"}'));
    assert.match(await said(`http://${await listening(other)}`), /answers as no Nebula server does: check its address/);
    await using closing = createServer((socket) => socket.destroy());
    const address = await listening(closing);
    assert.match(await said(`http://${address}`), /closed the connection before it answered: .*; if it speaks TLS, write https:/);
    assert.match(await said(`grpc://${address}`), /before it answered: .*; if it speaks TLS, write grpcs:/);
    assert.match(await said(`https://${address}`), /before it answered: .*; if it wants a client certificate, give --tls-client-cert/);
  });
});
