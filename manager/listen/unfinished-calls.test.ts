import { strict as assert } from "node:assert";
import { once } from "node:events";
import { type ClientHttp2Stream, connect, constants, createServer, type Http2Server, type ServerHttp2Stream } from "node:http2";
import { ManualClock } from "../../common/clock/manual-clock.ts";
import { NebulaError } from "../../common/errors/nebula-error.ts";
import { BODY_BEFORE_LOGIN, RequestBudget } from "../../common/listen/request-budget.ts";
import { eventually } from "../../common/testing/eventually.ts";
import { REQUEST_MS, UnfinishedCalls } from "./unfinished-calls.ts";

describe("unfinished calls", () => {
  let server: Http2Server;
  let clock: ManualClock;
  let served: ServerHttp2Stream[];
  let client: ReturnType<typeof connect>;
  const others: ReturnType<typeof connect>[] = [];
  /** Another connection. */
  function another() {
    const session = connect(url());
    others.push(session);
    return session;
  }
  function url(): string {
    const address = server.address();
    return `http://127.0.0.1:${typeof address === "object" && address !== null ? address.port : 0}`;
  }
  beforeEach(async () => {
    clock = new ManualClock();
    served = [];
    server = createServer((_request, response) => void served.push(response.stream)).listen(0, "127.0.0.1");
    await once(server, "listening");
    client = connect(url());
  });
  afterEach(() => {
    for (const session of others.splice(0)) session.destroy();
    client.destroy();
    server.close();
  });

  const ALL = { isOwn: () => true, streaming: new Set(["/watch"]) };
  const watched = (isOwn = true) => new UnfinishedCalls({ ...ALL, isOwn: () => isOwn, logins: { isPart: () => false, check: () => {} }, clock });

  /** Begins a call, and waits until the server has it. */
  async function begin(path: string, end: boolean): Promise<ClientHttp2Stream> {
    const before = served.length;
    const stream = client.request({ ":method": "POST", ":path": path }, { endStream: false });
    stream.on("error", () => {});
    if (end) stream.end();
    await eventually(() => served.length > before && (!end || served.at(-1)?.state.state === constants.NGHTTP2_STREAM_STATE_HALF_CLOSED_REMOTE));
    return stream;
  }

  it("unfinished calls whose request is not complete in time are ended, those that are answered late are not", async () => {
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

  it("calls with a stream of answers are left alone once their request is complete", async () => {
    using calls = watched();
    const watch = await begin("/watch", true);
    calls.endLate();
    assert.equal(calls.size, 0);
    await clock.advance(10 * REQUEST_MS);
    calls.endLate();
    assert.equal(watch.closed, false);
  });

  it("U2: a stream of requests and answers whose first request does not come in time is ended", async () => {
    using calls = watched();
    const watch = await begin("/watch", false);
    watch.write(Buffer.alloc(100));
    await clock.advance(REQUEST_MS - 1);
    calls.endLate();
    assert.deepEqual([watch.closed, calls.size], [false, 1]);
    await clock.advance(1);
    calls.endLate();
    await eventually(() => watch.closed);
    assert.equal(watch.rstCode, constants.NGHTTP2_ENHANCE_YOUR_CALM);
    await eventually(() => calls.held === 0);
  });

  it("U2: a stream of requests and answers is left alone once its answers have begun, and holds nothing here", async () => {
    using calls = watched();
    const watch = await begin("/watch", false);
    served[0]?.respond({ ":status": 200 });
    calls.endLate();
    assert.deepEqual([calls.size, calls.held], [0, 0]);
    await clock.advance(10 * REQUEST_MS);
    calls.endLate();
    assert.equal(watch.closed, false);
  });

  it("U2: a stream of answers that was refused before its request was complete is ended in time", async () => {
    using calls = watched();
    const refused = await begin("/watch", false);
    served[0]?.respond({ ":status": 200, "grpc-status": "4" }, { endStream: true });
    calls.endLate();
    assert.equal(calls.size, 1);
    await clock.advance(REQUEST_MS);
    calls.endLate();
    await eventually(() => refused.closed && calls.size === 0);
  });

  it("calls whose answer is not read are ended", async () => {
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

  describe("hold", () => {
    /** Logins by the value of a header: `valid` is one, `part` a gateway's. */
    const logins = {
      isPart: (headers: Readonly<Record<string, unknown>>) => headers.authorization === "part",
      check: (headers: Readonly<Record<string, unknown>>) => {
        if (!["valid", "valid too", "part"].includes(String(headers.authorization))) throw new NebulaError("unauthenticated", "no login");
      },
    };
    const held = (limits: { inAll: number; beforeLogin: number }, connectionBytes = { beforeLogin: 10_000, loggedIn: 200_000 }) =>
      new UnfinishedCalls({ ...ALL, logins, clock, budget: new RequestBudget(limits), connectionBytes });
    const ample = { inAll: 10_000_000, beforeLogin: 10_000_000 };

    /** Begins a call, reads it as gRPC does, and counts what came through. */
    async function send(authorization: string, bytes: number, session = client) {
      const before = served.length;
      const stream = session.request({ ":method": "POST", ":path": "/unary", authorization }, { endStream: false });
      const answer = { status: "", got: 0 };
      stream.on("error", () => {});
      stream.on("response", (headers) => (answer.status = String(headers["grpc-status"])));
      stream.resume();
      await eventually(() => served.length > before || stream.closed);
      served.at(-1)?.on("data", (chunk: Uint8Array) => {
        answer.got += chunk.length;
      });
      stream.write(Buffer.alloc(bytes));
      return { stream, answer };
    }

    it("a connection holds little before a login, small calls and their headers included; one with a login continues", async () => {
      using calls = held(ample);
      const small: Awaited<ReturnType<typeof send>>[] = [];
      for (let count = 0; count < 30; count++) small.push(await send("", 500));
      await eventually(() => small.filter(({ stream }) => stream.closed).length >= 20);
      assert.ok(calls.held < 12_000, String(calls.held));
      assert.ok(small.filter(({ stream }) => !stream.closed).length >= 3, "the first are let in");
      assert.ok(small.filter(({ answer }) => answer.status === "16").length >= 20, "the others are refused without a login");
      const known = await send("valid", 50_000);
      await eventually(() => known.answer.got === 50_000);
      assert.equal(known.stream.closed, false);
    });

    it("a call holds no more of a body above 64 KiB than that until the login was checked", async () => {
      using calls = held(ample, { beforeLogin: 10_000_000, loggedIn: 10_000_000 });
      const anonymous = await send("", 1_000_000);
      await eventually(() => anonymous.stream.closed);
      assert.equal(anonymous.answer.status, "16");
      assert.ok(anonymous.answer.got <= BODY_BEFORE_LOGIN + 65_536, String(anonymous.answer.got));
      const known = await send("valid", 1_000_000);
      await eventually(() => known.answer.got === 1_000_000);
      known.stream.close();
      await eventually(() => calls.held === 0);
    });

    it("a connection with a login holds as much as it may; the others continue", async () => {
      using calls = held(ample);
      const other = another();
      const [first, second, others] = [await send("valid", 150_000), await send("valid", 150_000), await send("valid", 150_000, other)];
      await eventually(() => first.stream.closed || second.stream.closed);
      assert.ok([first, second].some(({ answer }) => answer.status === "8"));
      await eventually(() => others.answer.got === 150_000);
      assert.equal(others.stream.closed, false);
      assert.ok(calls.held >= 150_000);
    });

    it("all connections hold no more than their bound, and the login that holds most pays, with any number of connections", async () => {
      using calls = held({ inAll: 500_000, beforeLogin: 500_000 });
      const greedy: Awaited<ReturnType<typeof send>>[] = [];
      for (let count = 0; count < 6; count++) greedy.push(await send("valid", 80_000, another()));
      await eventually(() => calls.held > 480_000);
      const honest = await send("valid too", 90_000, another()); // larger than each of theirs
      await eventually(() => honest.answer.got === 90_000);
      await eventually(() => greedy.some(({ stream }) => stream.closed));
      assert.equal(honest.stream.closed, false);
      assert.ok(calls.held <= 500_000 && calls.held > 400_000, String(calls.held));
      assert.ok(greedy.filter(({ stream }) => stream.closed).every(({ answer }) => answer.status === "8"));
    });

    it("all connections hold no more than their bound, and the connection that holds most pays", async () => {
      using calls = held({ inAll: 300_000, beforeLogin: 300_000 });
      const other = another();
      const large = [await send("valid", 90_000), await send("valid", 90_000)];
      await eventually(() => calls.held > 180_000);
      const small = await send("valid", 60_000, other);
      await eventually(() => calls.held > 240_000);
      const more = await send("valid", 60_000, other);
      await eventually(() => large.some(({ stream }) => stream.closed));
      await eventually(() => more.answer.got === 60_000);
      assert.deepEqual([small.stream.closed, more.stream.closed, calls.held <= 300_000], [false, false, true]);
    });

    it("a gateway, whose connection carries many callers, holds as many calls as it sends", async () => {
      using calls = held(ample);
      const sent: Awaited<ReturnType<typeof send>>[] = [];
      for (let count = 0; count < 4; count++) sent.push(await send("part", 90_000));
      await eventually(() => sent.every(({ answer }) => answer.got === 90_000));
      assert.ok(calls.held > 360_000);
    });

    it("callers without a login that hold all that they may keep out no callers with a login", async () => {
      using calls = held({ inAll: 10_000_000, beforeLogin: 5000 }, { beforeLogin: 1_000_000, loggedIn: 1_000_000 });
      const anonymous: Awaited<ReturnType<typeof send>>[] = [];
      for (let count = 0; count < 10; count++) anonymous.push(await send("", 1000));
      await eventually(() => anonymous.filter(({ stream }) => stream.closed).length >= 6);
      const other = another();
      const known = await send("valid", 3000, other);
      await eventually(() => known.answer.got === 3000);
      assert.equal(known.stream.closed, false);
      assert.ok(calls.held > 3000);
    });

    it("a connection holds as the login that a call of it showed", async () => {
      using calls = held(ample);
      const first = await send("", 100);
      await eventually(() => first.answer.got === 100);
      const { remoteAddress, remotePort } = served[0]?.session?.socket ?? {};
      calls.loggedIn(`${remoteAddress}:${remotePort}`);
      const next = await send("", 50_000);
      await eventually(() => next.answer.got === 50_000);
      assert.equal(next.stream.closed, false);
    });
  });

  it("calls of other servers in the process are not counted", async () => {
    using calls = watched(false);
    await begin("/unary", false);
    assert.equal(calls.size, 0);
  });
});
