import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { createServer, type RequestListener, type Server } from "node:http";
import { createServer as createSecureServer } from "node:https";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { ServerCredentials } from "@grpc/grpc-js";
import { systemClock } from "../../common/clock/system-clock.ts";
import { silentLog } from "../../common/log/log.ts";
import { GrpcChannel } from "../../common/rpc/grpc-channel.ts";
import { tlsChannel } from "../../common/rpc/tls-channel.ts";
import { eventually } from "../../common/testing/eventually.ts";
import { ShardService } from "../../gen/nebula/v1/shard_pb.ts";
import { TestShard } from "../testing/watch-test-shard.ts";
import type { WatchEvent } from "./events.ts";
import { locateShards } from "./locator.ts";
import { openWatch } from "./watch.ts";

const signal = new AbortController().signal;

async function listening(server: Server): Promise<number> {
  await once(server.listen(0, "127.0.0.1"), "listening");
  const address = server.address();
  assert.ok(typeof address === "object" && address !== null);
  return address.port;
}

describe("the question for the shard map, to a gateway", () => {
  let server = createServer();
  let port = 0;
  let answer: RequestListener = () => {};

  beforeEach(async () => {
    server = createServer((request, response) => answer(request, response));
    port = await listening(server);
  });
  afterEach(() => {
    server.closeAllConnections();
    server.close();
  });

  const locate = (limitMs = 2000) =>
    locateShards({
      server: { protocol: "http", host: "127.0.0.1", port },
      deviceGroup: "shop",
      deviceId: "device-7",
      authorization: "Bearer secret",
      channelTo: () => assert.fail("a gateway is not dialled"),
      tls: {},
      limitMs,
      signal,
    });

  it("the question for the shard map is Connect's JSON", async () => {
    const seen: unknown[] = [];
    answer = async (request, response) => {
      const body: unknown = JSON.parse(Buffer.concat(await Array.fromAsync(request)).toString());
      seen.push(request.method, request.url, request.headers.authorization, request.headers["content-type"], body);
      response.end(
        '{"cluster":{"id":"c","epoch":"1"},"shards":[{"address":"a:1","zone":"new"},{"address":"b:2"},{"address":"unix:/tmp/x"}],"news":1}',
      );
    };
    assert.deepEqual(await locate(), { kind: "located", addresses: ["a:1", "b:2"] });
    const body = { deviceGroup: "shop", deviceId: "device-7" };
    assert.deepEqual(seen, ["POST", "/nebula.v1.ShardService/GetShardMap", "Bearer secret", "application/json", body]);
  });

  it("the question for the shard map reports a refused login", async () => {
    answer = (_request, response) => response.writeHead(401).end('{"code":"unauthenticated","message":"no such token"}');
    const outcome = await locate();
    assert.ok(outcome.kind === "refused" && outcome.problem === "unauthenticated" && outcome.reason.includes("no such token"));
  });

  for (const [what, respond] of Object.entries<RequestListener>({
    "a proxy's page": (_request, response) => response.writeHead(502).end("<html>"),
    "another server": (_request, response) => response.end("hello"),
    "a redirect, which is not followed": (_request, response) => response.writeHead(302, { location: "http://127.0.0.1:1/" }).end(),
    "an end without an answer": (request) => request.socket.destroy(),
    "an answer without an end": (_request, response) => void response.write("{"),
    silence: () => {},
  })) {
    it(`the question for the shard map takes ${what} for a server that cannot be reached`, async () => {
      answer = respond;
      assert.equal((await locate(300)).kind, "unreachable");
    });
  }
});

describe("a connection that has to be encrypted", function () {
  this.timeout(20_000);
  let folder = "";

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), "nebula-tls-"));
    const subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"];
    const files = ["-keyout", join(folder, "key.pem"), "-out", join(folder, "cert.pem")];
    await promisify(execFile)("openssl", [
      "req",
      "-x509",
      "-newkey",
      "ec",
      "-pkeyopt",
      "ec_paramgen_curve:prime256v1",
      "-nodes",
      "-days",
      "2",
      ...subject,
      ...files,
    ]);
  });
  after(() => rm(folder, { recursive: true }));

  it("an encrypted connection is refused for a host, named by an IP address, that the certificate does not name", async () => {
    const [key, cert] = await Promise.all([readFile(join(folder, "key.pem")), readFile(join(folder, "cert.pem"))]);
    for (const host of ["127.0.0.1", "127.0.0.2"]) {
      await using shard = await TestShard.open({
        address: `${host}:0`,
        credentials: ServerCredentials.createSsl(null, [{ private_key: key, cert_chain: cert }]),
      });
      const { credentials, options } = tlsChannel(shard.address, { ca: cert });
      using channel = new GrpcChannel(shard.address, credentials, options);
      const call = channel.unary(ShardService.method.getShardMap, {});
      if (host === "127.0.0.1")
        assert.deepEqual(
          (await call).shards.map(({ address }) => address),
          [shard.address],
        );
      else await assert.rejects(call, /IP: 127\.0\.0\.2 is not in the cert/);
    }
  });

  it("a connection is encrypted, or does not exist, for each address of a map or a redirect", async () => {
    const [key, cert] = await Promise.all([readFile(join(folder, "key.pem")), readFile(join(folder, "cert.pem"))]);
    const credentials = ServerCredentials.createSsl(null, [{ private_key: key, cert_chain: cert }]);
    const trust = { ca: cert };
    await using secure = await TestShard.open({ credentials });
    await using clear = await TestShard.open();
    secure.onWatch = (watch) => (watch.request.serveHere ? watch.config(1n, "a") : watch.redirect(clear.address));
    clear.onWatch = (watch) => watch.config(2n, "in clear text");
    const gateway = createSecureServer({ key, cert }, (_request, response) => {
      response.end(JSON.stringify({ shards: [{ address: clear.address }, { address: secure.address }] }));
    });
    const port = await listening(gateway);
    const done: AbortController[] = [];
    try {
      for (const server of [
        { protocol: "https", host: "127.0.0.1", port },
        { protocol: "grpcs", host: "127.0.0.1", port: Number(secure.address.split(":")[1]) },
      ] as const) {
        const stop = new AbortController();
        done.push(stop);
        const watch = openWatch({
          server,
          deviceGroup: "shop",
          deviceId: "device-7",
          boot: "boot1",
          keepaliveMs: 60_000,
          authorization: () => "Bearer secret",
          heldEtag: () => "",
          clock: systemClock,
          log: silentLog,
          signal: stop.signal,
          tls: () => trust,
          reachMs: 500,
        });
        const events: WatchEvent[] = [];
        for await (const event of watch) {
          events.push(event);
          if (event.kind === "config") stop.abort();
        }
        assert.ok(events.some((event) => event.kind === "connected" && event.address === secure.address));
      }
      await eventually(() => secure.watches.length >= 2);
      assert.equal(clear.watches.length, 0, "the token went out in clear text");
    } finally {
      for (const stop of done) stop.abort();
      gateway.closeAllConnections();
      gateway.close();
    }
  });
});
