import { strict as assert } from "node:assert";
import { once } from "node:events";
import { createServer, type Http2Server, type IncomingHttpHeaders, type ServerHttp2Stream } from "node:http2";
import { create, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { eventually } from "../../common/testing/eventually.ts";
import { WatchAndReportResponseSchema } from "../../gen/nebula/v1/config_pb.ts";
import type { DeviceListener } from "./device.ts";
import { GrpcDevice } from "./grpc-device.ts";
import { grpcHeaderBlock, grpcMessage } from "./h2-frames.ts";

/** A call whose request has not ended. */
type OpenCall = { stream: ServerHttp2Stream; headers: IncomingHttpHeaders; chunks: readonly Buffer[] };
type Call = { stream: ServerHttp2Stream; headers: IncomingHttpHeaders; body: Buffer };

/** node:http2 itself as the judge of what the canned frames say. */
async function openServer(): Promise<{ server: Http2Server; port: number; calls: Call[]; open: OpenCall[] }> {
  const calls: Call[] = [];
  const open: OpenCall[] = [];
  const server = createServer();
  server.on("stream", (stream: ServerHttp2Stream, headers) => {
    const chunks: Buffer[] = [];
    stream.on("data", (chunk: Buffer) => chunks.push(chunk));
    if (headers[":path"] === "/open") open.push({ stream, headers, chunks });
    stream.on("error", () => {});
    stream.on("end", () => calls.push({ stream, headers, body: Buffer.concat(chunks) }));
  });
  server.on("sessionError", () => {});
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  return { server, port: typeof address === "object" && address !== null ? address.port : 0, calls, open };
}

class Heard implements DeviceListener {
  readonly words: string[] = [];
  readonly onMessage = () => this.words.push("message");
  readonly onAnswer = (_: unknown, ok: boolean) => this.words.push(`answer ${ok}`);
  readonly onPong = () => this.words.push("pong");
  readonly onLost = (_: unknown, reason: string) => this.words.push(`lost: ${reason}`);
}

describe("GrpcDevice, against node:http2", () => {
  let opened: Awaited<ReturnType<typeof openServer>>;
  let device: GrpcDevice;
  let heard: Heard;
  const long = "x".repeat(300);

  beforeEach(async () => {
    opened = await openServer();
    heard = new Heard();
    const headerBlock = grpcHeaderBlock("127.0.0.1:1", "/watch", { authorization: `Bearer ${long}`, edge: "y".repeat(127) });
    device = new GrpcDevice(7, { port: opened.port, localAddress: "127.0.0.9" }, { headerBlock, message: Buffer.from("who I am") }, heard);
  });

  afterEach(() => {
    device.close();
    opened.server.close();
  });

  async function callNumber(count: number): Promise<Call> {
    await eventually(() => opened.calls.length >= count);
    const call = opened.calls[count - 1];
    assert.ok(call !== undefined);
    return call;
  }

  it("a device asks as a gRPC client does", async () => {
    const { headers, body } = await callNumber(1);
    assert.equal(headers[":method"], "POST");
    assert.equal(headers[":path"], "/watch");
    assert.equal(headers[":authority"], "127.0.0.1:1");
    assert.equal(headers.te, "trailers");
    assert.equal(headers["content-type"], "application/grpc");
    assert.equal(headers.authorization, `Bearer ${long}`);
    assert.equal(headers.edge, "y".repeat(127));
    assert.deepEqual(body, grpcMessage(Buffer.from("who I am")));
  });

  it("a device whose stream stays open says more on it, and takes answers to that among the messages", async () => {
    const headerBlock = grpcHeaderBlock("127.0.0.1:1", "/open", {});
    const words = new Heard();
    const reporting = new GrpcDevice(
      8,
      { port: opened.port, localAddress: "127.0.0.9" },
      { headerBlock, message: Buffer.from("who I am"), isOpen: true },
      words,
    );
    try {
      await eventually(() => opened.open.length === 1);
      const [first] = opened.open;
      assert.ok(first !== undefined);
      const { stream, chunks } = first;
      reporting.say(Buffer.from("how I am"));
      const said = Buffer.concat([grpcMessage(Buffer.from("who I am")), grpcMessage(Buffer.from("how I am"))]);
      await eventually(() => Buffer.concat(chunks).equals(said));
      stream.respond({ ":status": 200 });
      const answer = (init: NonNullable<MessageInitShape<typeof WatchAndReportResponseSchema>["answer"]>) =>
        stream.write(grpcMessage(toBinary(WatchAndReportResponseSchema, create(WatchAndReportResponseSchema, { answer: init }))));
      answer({ case: "unchanged", value: {} });
      answer({ case: "report", value: {} });
      answer({ case: "config", value: {} });
      answer({ case: "report", value: { code: 8, message: "later" } });
      answer({ case: "report", value: { byCall: true } });
      await eventually(() => words.words.length === 5);
      assert.deepEqual(words.words, ["message", "answer true", "message", "answer false", "answer false"]);
    } finally {
      reporting.close();
    }
  });

  it("a device whose stream does not stay open takes every message for a push, also one that begins as an answer", async () => {
    const { stream } = await callNumber(1);
    stream.respond({ ":status": 200 });
    for (let first = 0; first < 256; first++) stream.write(grpcMessage(Buffer.alloc(2, first)));
    await eventually(() => heard.words.length === 256);
    assert.ok(heard.words.every((word) => word === "message"));
  });

  it("a device takes messages larger than frames and windows, one after another", async () => {
    const { stream } = await callNumber(1);
    stream.respond({ ":status": 200 });
    const message = grpcMessage(Buffer.alloc(300_000, 1));
    for (let i = 0; i < 20; i++) stream.write(message);
    await eventually(() => heard.words.length === 20);
    assert.ok(heard.words.every((word) => word === "message"));
    assert.ok(device.bytesRead > 20 * 300_000);
  });

  it("a device pings, answers pings, and calls beside the watch", async () => {
    const { stream } = await callNumber(1);
    device.ping();
    await eventually(() => heard.words.includes("pong"));
    await new Promise<void>((resolve, reject) => {
      stream.session?.ping(Buffer.from("12345678"), (error, _, payload) => {
        if (error === null && payload.toString() === "12345678") resolve();
        else reject(error ?? new Error("another payload"));
      });
    });
    device.call(grpcHeaderBlock("127.0.0.1:1", "/report", {}), Buffer.from("report"));
    const report = await callNumber(2);
    assert.equal(report.headers[":path"], "/report");
    assert.deepEqual(report.body, grpcMessage(Buffer.from("report")));
    report.stream.respond({ ":status": 200 }, { waitForTrailers: true });
    report.stream.on("wantTrailers", () => report.stream.sendTrailers({ "grpc-status": "0" }));
    report.stream.end(grpcMessage(Buffer.alloc(0)));
    await eventually(() => heard.words.includes("answer true"));
  });

  it("a device distinguishes a refused call from an answered one", async () => {
    await callNumber(1);
    device.call(grpcHeaderBlock("127.0.0.1:1", "/report", {}), Buffer.alloc(0));
    const { stream } = await callNumber(2);
    stream.respond({ ":status": 200, "grpc-status": "16" }, { endStream: true });
    await eventually(() => heard.words.includes("answer false"));
  });

  it("a device reports the end of the watch, or of the connection", async () => {
    const { stream } = await callNumber(1);
    const { session } = stream;
    stream.respond({ ":status": 200, "grpc-status": "14" }, { endStream: true });
    await eventually(() => heard.words.includes("lost: the server ended the watch"));
    session?.destroy();
    await eventually(
      () => heard.words.includes("lost: the server ended the connection") && heard.words.includes("lost: the server closed the connection"),
    );
  });

  it("a device reports nothing when it is closed itself", async () => {
    const { stream } = await callNumber(1);
    const closed = once(stream, "close");
    device.close();
    await closed;
    assert.deepEqual(heard.words, []);
  });
});
