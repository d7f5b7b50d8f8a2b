import { strict as assert } from "node:assert";
import { once } from "node:events";
import { type ClientHttp2Stream, connect, constants, createServer, type Http2Server, type ServerHttp2Stream } from "node:http2";
import { ManualClock } from "../../common/clock/manual-clock.ts";
import { eventually } from "../../common/testing/eventually.ts";
import { REQUEST_MS, UnfinishedCalls } from "./unfinished-calls.ts";

describe("unfinished calls", () => {
  let server: Http2Server;
  let clock: ManualClock;
  let served: ServerHttp2Stream[];
  let client: ReturnType<typeof connect>;
  beforeEach(async () => {
    clock = new ManualClock();
    served = [];
    server = createServer((_request, response) => void served.push(response.stream)).listen(0, "127.0.0.1");
    await once(server, "listening");
    const address = server.address();
    client = connect(`http://127.0.0.1:${typeof address === "object" && address !== null ? address.port : 0}`);
  });
  afterEach(() => {
    client.destroy();
    server.close();
  });

  const watched = (isOwn = true) => new UnfinishedCalls({ isOwn: () => isOwn, streaming: new Set(["/watch"]), clock });

  /** Begins a call, and waits until the server has it. */
  async function begin(path: string, end: boolean): Promise<ClientHttp2Stream> {
    const before = served.length;
    const stream = client.request({ ":method": "POST", ":path": path }, { endStream: false });
    stream.on("error", () => {});
    if (end) stream.end();
    await eventually(() => served.length > before && (!end || served.at(-1)?.state.state === constants.NGHTTP2_STREAM_STATE_HALF_CLOSED_REMOTE));
    return stream;
  }

  it("whose request is not complete in time are ended, those that are answered late are not", async () => {
    using calls = watched();
    const slow = await begin("/unary", false);
    const handled = await begin("/unary", true);
    await clock.advance(REQUEST_MS - 1);
    calls.endLate();
    assert.equal(calls.size, 2);
    await clock.advance(1);
    calls.endLate();
    await eventually(() => slow.closed);
    assert.equal(slow.rstCode, constants.NGHTTP2_ENHANCE_YOUR_CALM);
    assert.equal(handled.closed, false);
    await eventually(() => calls.size === 1);
  });

  it("with a stream of answers are left alone once their request is complete", async () => {
    using calls = watched();
    const watch = await begin("/watch", true);
    calls.endLate();
    assert.equal(calls.size, 0);
    await clock.advance(10 * REQUEST_MS);
    calls.endLate();
    assert.equal(watch.closed, false);
  });

  it("whose answer nobody reads are ended", async () => {
    using calls = watched();
    const unread = await begin("/unary", true);
    unread.pause();
    served[0]?.respond({ ":status": 200 });
    served[0]?.end(Buffer.alloc(1024 * 1024));
    calls.endLate(); // sees that the answer is complete
    await clock.advance(REQUEST_MS);
    calls.endLate();
    await eventually(() => served[0]?.destroyed === true);
    assert.equal(calls.size, 0);
  });

  it("with large requests are ended where all of them hold too much; small ones are not", async () => {
    using calls = new UnfinishedCalls({ isOwn: () => true, streaming: new Set(), clock, heldBytes: { inAll: 100_000, small: 1000 } });
    const large = await begin("/unary", false);
    large.write(Buffer.alloc(60_000));
    served[0]?.resume();
    const small = await begin("/unary", false);
    const another = await begin("/unary", false);
    served[1]?.resume();
    served[2]?.resume();
    another.write(Buffer.alloc(60_000));
    await eventually(() => another.closed || large.closed);
    const [ended, left] = another.closed ? [another, large] : [large, another];
    assert.equal(ended.rstCode, constants.NGHTTP2_ENHANCE_YOUR_CALM);
    small.write(Buffer.alloc(900));
    await eventually(() => calls.size === 2);
    assert.deepEqual([small.closed, left.closed], [false, false]);
    left.close();
    await eventually(() => calls.size === 1);
    const next = await begin("/unary", false); // there is room again
    served[3]?.resume();
    next.write(Buffer.alloc(60_000));
    let got = 0;
    served[3]?.on("data", (chunk: Uint8Array) => {
      got += chunk.length;
    });
    await eventually(() => got === 60_000);
    assert.equal(next.closed, false);
  });

  it("of other servers in the process are not looked at", async () => {
    using calls = watched(false);
    await begin("/unary", false);
    assert.equal(calls.size, 0);
  });
});
