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
  it("a server that does not answer as one is distinguished from one that speaks the other protocol", async () => {
    await using server = await startTestServer();
    assert.match(await said(server.http.replace("http", "grpc")), /does not speak gRPC; if it is a gateway, use http:/);
    assert.match(await said(server.grpc.replace("grpc", "http")), /does not speak HTTP; if it is a manager, use grpc:/);
    assert.match(await said(server.http.replace("http", "https")), /does not speak TLS; use http:/);
    assert.match(await said(server.grpc.replace("grpc", "grpcs")), /does not speak TLS; use grpc:/);
  });

  it("a server that is absent, another program, or disconnects is one line on what to do", async () => {
    for (const scheme of ["http", "grpc"])
      assert.match(await said(`${scheme}://127.0.0.1:1`), /nothing answers at (http|grpc):\/\/127\.0\.0\.1:1 \(from --server\)/);
    await using web = createHttpServer((_, response) => response.writeHead(404, { "content-type": "text/html" }).end("<html>"));
    assert.match(await said(`http://${await listening(web)}`), /gave an unexpected answer \(HTTP 404\)/);
    await using other = createHttpServer((_, response) => response.writeHead(405, { "content-type": "application/json" }).end('{"error":"no"}'));
    assert.match(await said(`http://${await listening(other)}`), /gave an unexpected answer; check that this is the address/);
    await using closing = createServer((socket) => socket.destroy());
    const address = await listening(closing);
    assert.match(await said(`http://${address}`), /closed the connection before it answered; retry.*; if it speaks TLS, use https:/);
    assert.match(await said(`grpc://${address}`), /before it answered; retry.*; if it speaks TLS, use grpcs:/);
    assert.match(await said(`https://${address}`), /before it answered; retry.*; if it requires a client certificate, use --tls-client-cert/);
  });
});
