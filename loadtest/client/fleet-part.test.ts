import { strict as assert } from "node:assert";
import { once } from "node:events";
import { createServer, type Http2Server, type ServerHttp2Stream } from "node:http2";
import { eventually } from "../../common/testing/eventually.ts";
import { FleetPart } from "./fleet-part.ts";
import { grpcMessage } from "./h2-frames.ts";
import { Wait } from "./wait.ts";

const DEVICES = [10, 11, 12, 13, 14];

describe("FleetPart", () => {
  let server: Http2Server;
  let part: FleetPart;
  const watches = new Set<ServerHttp2Stream>();
  let opened = 0;

  beforeEach(async () => {
    watches.clear();
    opened = 0;
    server = createServer();
    server.on("stream", (stream: ServerHttp2Stream) => {
      opened++;
      watches.add(stream);
      stream.on("close", () => watches.delete(stream));
      stream.on("error", () => {});
      stream.respond({ ":status": 200 });
      stream.write(grpcMessage(Buffer.from("first")));
    });
    server.on("sessionError", () => {});
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    const address = server.address();
    const port = typeof address === "object" && address !== null ? address.port : 0;
    part = new FleetPart({ protocol: "grpc", port, headers: {}, deviceGroup: "g", etag: "" });
  });

  afterEach(() => {
    part[Symbol.dispose]();
    server.close();
  });

  function push(): void {
    for (const watch of watches) watch.write(grpcMessage(Buffer.from("next")));
  }

  it("a fleet connects each device, and reports when each of them got a push", async () => {
    assert.ok((await part.connect(DEVICES, 2)) > 0);
    assert.equal(opened, DEVICES.length);
    const { arrived } = part.arm(undefined);
    push();
    const at = await arrived;
    assert.equal(at.length, DEVICES.length);
    assert.ok(at.every((moment) => moment > 0));
    await part.ping();
  });

  it("a fleet connects devices again that it dropped", async () => {
    await part.connect(DEVICES, 5);
    await part.reconnect(2);
    assert.equal(opened, DEVICES.length + 2);
    await eventually(() => watches.size === DEVICES.length);
  });

  it("a fleet does not wait for devices that stopped reading on request, and ignores their loss", async () => {
    await part.connect(DEVICES, 5);
    part.stick(2);
    const { arrived } = part.arm(undefined);
    push();
    assert.equal((await arrived).length, DEVICES.length - 2);
    const [, , , fourth] = watches;
    fourth?.session?.socket.destroy();
    await part.ping();
  });

  it("a fleet fails clearly when a device is lost, in every wait, and from then on", async () => {
    await part.connect(DEVICES, 5);
    const { arrived } = part.arm(undefined);
    const [first] = watches;
    first?.close();
    await assert.rejects(arrived, /device 1\d: the server ended the watch/);
    await assert.rejects(part.ping(), /device 1\d: the server ended the watch/);
  });

  it("a fleet fails clearly when there is no server", async () => {
    using lonely = new FleetPart({ protocol: "grpc", port: 1, headers: {}, deviceGroup: "g", etag: "" });
    await assert.rejects(lonely.connect([0], 1), /device 0: connect ECONNREFUSED/);
  });
});

describe("Wait", () => {
  it("a wait says how many devices did not get there in time", async () => {
    const wait = new Wait([1, 2, 3], "push", 20);
    assert.ok(wait.arrived(2));
    assert.ok(!wait.arrived(2));
    await assert.rejects(wait.done, /2 of 3 devices got no push within 0.02 s/);
  });

  it("a wait for no device is over at once", async () => {
    await new Wait([], "push", 20).done;
  });
});
