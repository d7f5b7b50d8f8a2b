import { strict as assert } from "node:assert";
import { once } from "node:events";
import { createServer as createHttp2Server } from "node:http2";
import { createServer } from "node:https";
import { isNebulaError } from "../../common/errors/nebula-error.ts";
import { TestAuthority } from "../../common/testing/test-authority.ts";
import { postJson } from "./http.ts";

function refusedBy(url: string) {
  const options = { url, body: "{}", headers: {}, tls: {}, limitMs: 10_000, signal: new AbortController().signal };
  return postJson(options).then(
    () => assert.fail("it answered"),
    (error: unknown) => {
      assert.ok(isNebulaError(error, "unavailable"));
      return error.message;
    },
  );
}

function portOf(address: unknown): number {
  return typeof address === "object" && address !== null && "port" in address && typeof address.port === "number" ? address.port : 0;
}

describe("a server that a worker can't call", () => {
  it("the error of a call names --tls-ca where the certificate of the server is of an unknown authority", async () => {
    await using authority = await TestAuthority.make();
    const { cert, key } = await authority.issue("localhost");
    await using server = createServer({ cert, key });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    assert.match(
      await refusedBy(`https://127.0.0.1:${portOf(server.address())}/x`),
      /cannot be reached: .*certificate.*; .*--tls-ca, or NEBULA_TLS_CA, names a file/,
    );
  });

  it("the error of a call says that a server that speaks gRPC is a manager", async () => {
    const server = createHttp2Server();
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    try {
      assert.match(await refusedBy(`http://127.0.0.1:${portOf(server.address())}/x`), /does not answer in HTTP: if it is a manager, write grpc:\/\//);
    } finally {
      server.close();
    }
  });
});
