import { strict as assert } from "node:assert";
import { once } from "node:events";
import { type ClientHttp2Session, type ClientHttp2Stream, connect as connectHttp2, constants } from "node:http2";
import { connect, type Socket } from "node:net";
import { eventually } from "../common/testing/eventually.ts";
import { GRPC_LIMITS } from "../manager/rpc/grpc-server.ts";
import { Server } from "./harness/server.ts";
import { SimulatedWorker } from "./harness/simulated-worker.ts";

/** A real client's call has to be answered within this time, also while another client floods. */
const DEADLINE_MS = 10_000;

const PREFACE = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
const EMPTY_MESSAGE = Buffer.alloc(5);

function frame(type: number, flags: number, stream: number, payload: Buffer = Buffer.alloc(0)): Buffer {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.length, 0, 3);
  head.writeUInt8(type, 3);
  head.writeUInt8(flags, 4);
  head.writeUInt32BE(stream, 5);
  return Buffer.concat([head, payload]);
}

/** Makers of endless frames, a batch a time. */
const FLOODS: Readonly<Record<string, () => () => Buffer>> = {
  "PING frames": () => {
    const batch = Buffer.concat(Array.from({ length: 1000 }, () => frame(0x6, 0, 0, Buffer.alloc(8))));
    return () => batch;
  },
  "SETTINGS frames": () => {
    const batch = Buffer.concat(Array.from({ length: 1000 }, () => frame(0x4, 0, 0)));
    return () => batch;
  },
  "calls that are taken back": () => {
    // :method POST, :scheme http, :path and :authority literal, content-type literal; no Huffman
    const literal = (index: number, value: string) => Buffer.concat([Buffer.from([index, value.length]), Buffer.from(value)]);
    const headers = Buffer.concat([
      Buffer.from([0x83, 0x86]),
      literal(0x04, "/nebula.v1.AppService/ListApps"),
      literal(0x01, "x"),
      Buffer.from([0x0f, 0x10, 16]),
      Buffer.from("application/grpc"),
    ]);
    let stream = 1;
    return () =>
      Buffer.concat(
        Array.from({ length: 200 }, () => {
          const [opened, taken] = [frame(0x1, 0x4, stream, headers), frame(0x3, 0, stream, Buffer.from([0, 0, 0, 8]))];
          stream += 2;
          return Buffer.concat([opened, taken]);
        }),
      );
  },
};

describe("limits", function () {
  this.timeout(120_000);
  let server: Server;
  let worker: SimulatedWorker;
  let real: RealClient;
  before(async () => {
    server = await Server.start({ env: { NEBULA_HTTP_CONNECTIONS: "300", NEBULA_GRPC_CONNECTIONS: "300" } });
    await server.api.createGroup("pos", []);
    const login = { NEBULA_USER: "admin", NEBULA_PASSWORD: server.password, NEBULA_DEVICE_GROUP: "pos" };
    worker = new SimulatedWorker({ server: server.grpcUrl, deviceId: "stays", env: login });
    await server.api.reported("stays");
  });
  beforeEach(() => {
    real = new RealClient(server);
  });
  afterEach(async () => {
    const { calls, failures } = await real.end();
    assert.deepEqual(failures, []);
    assert.ok(calls > 0);
    assert.equal(server.program.ended, false, server.program.output);
    assert.equal(worker.output.match(/connected to a manager/g)?.length, 1, "a watch ended");
  });
  after(async () => {
    await worker[Symbol.asyncDispose]();
    await server[Symbol.asyncDispose]();
  });

  it("connections that send nothing are ended, on both ports", async () => {
    const [slow, silent, mute, begins, noise] = await Promise.all([
      dial(server.httpPort),
      dial(server.httpPort),
      dial(server.grpcPort),
      dial(server.grpcPort),
      dial(server.grpcPort),
    ]);
    slow.write("POST /nebula.v1.AppService/ListApps HTTP/1.1\r\nhost: x\r\nx-a: ");
    const drip = setInterval(() => slow.write("a"), 500);
    begins.write("PRI * HTTP/2.0\r\n\r\n");
    noise.write("GET / HTTP/1.1\r\nhost: x\r\n\r\n");
    const [answer, answerToo] = await Promise.all([read(slow), read(silent), closed(mute), closed(begins), closed(noise)]);
    clearInterval(drip);
    assert.match(answer, /^HTTP\/1\.1 408 .*"code":"deadline_exceeded","message":"the request was not complete in time/s);
    assert.match(answerToo, /^HTTP\/1\.1 408 |^$/);
  });

  if (process.env.NEBULA_TEST_LONG === "1") {
    it("requests that never end are ended, on both ports", async () => {
      const slow = await dial(server.httpPort);
      slow.write("POST /nebula.v1.AppService/ListApps HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 1000\r\n\r\n");
      await using session = await dialHttp2(server.grpcPort);
      const slowCall = session.request(call("/nebula.v1.AppService/ListApps", real.authorization));
      slowCall.write(Buffer.from([0, 0, 0, 0, 100]));
      const drip = setInterval(() => {
        slow.write(" ");
        slowCall.write(Buffer.from([1]));
      }, 2000);
      const [answer] = await Promise.all([read(slow), streamClosed(slowCall)]);
      clearInterval(drip);
      assert.match(answer, /^HTTP\/1\.1 408 /);
      assert.equal(slowCall.rstCode, constants.NGHTTP2_ENHANCE_YOUR_CALM);
      assert.equal(await unary(session, "/nebula.v1.AppService/ListApps", real.authorization), "0");
    });
  }

  describe("of HTTP", () => {
    it("HTTP headers above 16 KiB are a 431, in JSON", async () => {
      const big = await dial(server.httpPort);
      big.write(`GET /healthz HTTP/1.1\r\nhost: x\r\nx-a: ${"a".repeat(17_000)}\r\n\r\n`);
      assert.match(await read(big), /^HTTP\/1\.1 431 .*content-type: application\/json.*"code":"resource_exhausted"/s);
      const most = await fetch(`${server.url}/healthz`, { headers: { "x-a": "a".repeat(15_000) } });
      assert.equal(most.status, 200);
    });

    it("bytes that are not HTTP get a 400, in JSON", async () => {
      const noise = await dial(server.httpPort);
      noise.write("\x16\x03\x01 what is this\r\n\r\n");
      assert.match(await read(noise), /^HTTP\/1\.1 400 .*"code":"invalid_argument"/s);
    });

    it("a body of too many values is refused at once, one of too many bytes as such", async () => {
      const headers = { authorization: real.authorization, "content-type": "application/json" };
      const many = `{"reports":[${"{},".repeat(1_300_000)}{}]}`;
      const refused = await fetch(`${server.url}/nebula.v1.ReportService/SubmitReports`, { method: "POST", headers, body: many });
      assert.deepEqual([refused.status, /more than 100000 values/.test(await refused.text())], [400, true]);
      const large = await fetch(`${server.url}/nebula.v1.AppService/ListApps`, { method: "POST", headers, body: " ".repeat(5_000_000) });
      assert.deepEqual([large.status, /larger than 4194304 bytes/.test(await large.text())], [429, true]);
    });

    it("HTTP connections above their number are closed at once, and accepted again when others have left", async () => {
      const sockets = await Promise.all(Array.from({ length: 400 }, () => dial(server.httpPort)));
      await eventually(() => sockets.filter((socket) => socket.closed).length >= 100);
      await server.program.printed(/NEBULA_HTTP_CONNECTIONS is reached/);
      for (const socket of sockets) socket.destroy();
      await eventually(async () => (await fetch(`${server.url}/healthz`)).ok);
      real.forgive(); // its own new connections were among those refused
    });
  });

  describe("of gRPC", () => {
    it("gRPC headers above 16 KiB end the call, and not the connection", async () => {
      await using session = await dialHttp2(server.grpcPort);
      const big = session.request({ ...call("/nebula.v1.AppService/ListApps", real.authorization), "x-a": "a".repeat(GRPC_LIMITS.headerBytes) });
      big.end();
      await streamClosed(big);
      assert.notEqual(big.rstCode, 0);
      assert.equal(await unary(session, "/nebula.v1.AppService/ListApps", real.authorization), "0");
    });

    it("a server announces over gRPC how many calls a connection may have at once", async () => {
      await using session = await dialHttp2(server.grpcPort);
      assert.equal(session.remoteSettings.maxConcurrentStreams, GRPC_LIMITS.streamsPerConnection);
      assert.equal(session.remoteSettings.maxHeaderListSize, GRPC_LIMITS.headerBytes);
    });

    it("gRPC connections above their number are closed at once", async () => {
      const sockets = await Promise.all(Array.from({ length: 400 }, () => dial(server.grpcPort)));
      await eventually(() => sockets.filter((socket) => socket.closed).length >= 100);
      await server.program.printed(/NEBULA_GRPC_CONNECTIONS is reached/);
      for (const socket of sockets) socket.destroy();
    });

    for (const [what, flood] of Object.entries(FLOODS)) {
      it(`a flood of ${what} ends the connection that it comes on, and no other`, async () => {
        const socket = await dial(server.grpcPort);
        socket.write(Buffer.concat([PREFACE, frame(0x4, 0, 0)]));
        const batch = flood();
        // nothing is read: answers to what floods pile up, as an attacker would have it
        const end = performance.now() + 60_000;
        while (!socket.closed && !socket.destroyed) {
          assert.ok(performance.now() < end, "the flood goes on");
          if (!socket.write(batch())) await Promise.race([once(socket, "drain"), once(socket, "close")]).catch(() => {});
          await new Promise((resolve) => setImmediate(resolve));
        }
      });
    }

    it("calls whose answers are not read hold no other up", async () => {
      await using session = await dialHttp2(server.grpcPort, { initialWindowSize: 0 });
      for (let count = 0; count < 500; count++) {
        const unread = session.request(call("/nebula.v1.AppService/ListApps", real.authorization));
        unread.on("error", () => {});
        unread.end(EMPTY_MESSAGE);
      }
      const calls = real.calls;
      await eventually(() => real.calls > calls + 20);
    });
  });
});

async function dial(port: number): Promise<Socket> {
  const socket = connect(port, "127.0.0.1");
  socket.on("error", () => {});
  await once(socket, "connect");
  return socket;
}

/** All that comes until the other side ends. */
async function read(socket: Socket): Promise<string> {
  let got = "";
  socket.on("data", (chunk) => {
    got += chunk;
  });
  await closed(socket);
  return got;
}

async function closed(socket: Socket): Promise<void> {
  socket.resume();
  if (!socket.closed) await once(socket, "close");
}

async function dialHttp2(port: number, settings = {}): Promise<ClientHttp2Session & AsyncDisposable> {
  const session = connectHttp2(`http://127.0.0.1:${port}`, { settings });
  session.on("error", () => {});
  await once(session, "remoteSettings");
  return Object.assign(session, { [Symbol.asyncDispose]: async () => session.destroy() });
}

async function streamClosed(stream: ClientHttp2Stream): Promise<void> {
  stream.on("error", () => {}); // rstCode tells
  await new Promise((resolve) => stream.on("close", resolve));
}

function call(path: string, authorization: string) {
  return { ":method": "POST", ":path": path, "content-type": "application/grpc", te: "trailers", authorization };
}

/** One call with an empty request; answers its gRPC status. */
async function unary(session: ClientHttp2Session, path: string, authorization: string): Promise<string> {
  const stream = session.request(call(path, authorization));
  let status = "";
  for (const event of ["response", "trailers"]) stream.on(event, (headers) => (status = headers["grpc-status"] ?? status));
  stream.resume().end(EMPTY_MESSAGE);
  await streamClosed(stream);
  return status;
}

/** A client as there are others: it calls all the time, by gRPC on the connection that it has and by HTTP. */
class RealClient {
  readonly authorization: string;
  readonly #server: Server;
  readonly #loops: Promise<void>[];
  #failures: string[] = [];
  #ended = false;
  calls = 0;

  constructor(server: Server) {
    this.#server = server;
    this.authorization = `Basic ${Buffer.from(`admin:${server.password}`).toString("base64")}`;
    this.#loops = [this.#repeat(async () => void (await server.api.device("stays"))), this.#repeat(() => this.#list())];
  }

  async #list(): Promise<void> {
    const response = await fetch(`${this.#server.url}/nebula.v1.AppService/ListApps`, {
      method: "POST",
      body: "{}",
      headers: { authorization: this.authorization, "content-type": "application/json" },
      signal: AbortSignal.timeout(DEADLINE_MS),
    });
    if (response.status !== 200) throw new Error(`${response.status} ${await response.text()}`);
    await response.arrayBuffer();
  }

  async #repeat(work: () => Promise<void>): Promise<void> {
    while (!this.#ended) {
      try {
        await work();
        this.calls++;
      } catch (error) {
        this.#failures.push(String(error));
      }
      await new Promise((resolve) => setImmediate(resolve));
    }
  }

  /** Forgets the failures until now: they were meant to happen. */
  forgive(): void {
    this.#failures = [];
  }

  async end(): Promise<{ calls: number; failures: readonly string[] }> {
    this.#ended = true;
    await Promise.all(this.#loops);
    return { calls: this.calls, failures: this.#failures };
  }
}
