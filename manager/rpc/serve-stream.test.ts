import { strict as assert } from "node:assert";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { credentials, Server, ServerCredentials } from "@grpc/grpc-js";
import { Registry } from "prom-client";
import { ManualClock } from "../../common/clock/manual-clock.ts";
import { type ErrorKind, isNebulaError, NebulaError } from "../../common/errors/nebula-error.ts";
import { silentLog } from "../../common/log/log.ts";
import { GrpcChannel } from "../../common/rpc/grpc-channel.ts";
import { serviceDefinition } from "../../common/rpc/service-definition.ts";
import { session } from "../../common/storage/contracts/access-store-samples.ts";
import { eventually } from "../../common/testing/eventually.ts";
import { ConfigService, type WatchConfigResponse, type WatchConfigResponseSchema } from "../../gen/nebula/v1/config_pb.ts";
import type { AccessListener } from "../access/access-generations.ts";
import type { Principal } from "../access/principal.ts";
import { ADMIN_RIGHTS, NO_RIGHTS } from "../access/rights/rights.ts";
import { configuredLogin, type Login, type LoginSource } from "../access/verified-credentials.ts";
import { keepAudit } from "../testing/kept-audit.ts";
import type { StreamContext } from "./call-context.ts";
import { createRpcMetrics } from "./rpc-metrics.ts";
import { LONGEST_MS, MOST_PER_USER, MOST_STREAMS, ServerStreams, UNREAD_MS } from "./serve-stream.ts";

const METHOD = ConfigService.method.watchConfig; // any server stream: the hub is not here

type Answer = MessageInitShape<typeof WatchConfigResponseSchema>;

/** A message that holds a text. */
function said(etag: string): Answer {
  return { answer: { case: "config", value: { etag } } };
}

function textOf(message: WatchConfigResponse | undefined): string | undefined {
  return message?.answer.case === "config" ? message.answer.value.etag : undefined;
}

/** Larger than what HTTP/2 takes before its reader reads. */
const LONG = "x".repeat(60_000);

/** A server whose one stream does what the test says. Callers are named by their authorization header. */
async function serve(handler: (context: StreamContext) => AsyncIterable<Answer>) {
  const registry = new Registry();
  const clock = new ManualClock();
  const listeners: AccessListener[] = [];
  /** The refusal that the gate throws now, how often it was asked, and what happens while it answers. */
  const gated: { refusal: NebulaError | undefined; count: number; during: () => void; source: LoginSource } = {
    refusal: undefined,
    count: 0,
    during: () => {},
    source: { kind: "user_token", tokenHash: "" },
  };
  const generations = { current: 1, listen: (listener: AccessListener) => void listeners.push(listener) };
  const { audit, entries } = keepAudit({ clock });
  const streams = new ServerStreams({
    gate: async (_method, _request, headers) => {
      gated.count++;
      if (gated.refusal !== undefined) throw gated.refusal;
      const name = headers.header("authorization") ?? "u";
      const principal: Principal = { kind: "user", name, rights: NO_RIGHTS };
      const verified = { principal, source: gated.source, userGroups: ["ops"] };
      const login: Login = { ...configuredLogin(principal), verified, generation: generations.current };
      gated.during();
      return { principal, login, viaPart: false, peer: "from" };
    },
    audit,
    metrics: createRpcMetrics(registry),
    clock,
    log: silentLog,
    generations,
    registry,
  });
  const server = new Server({ "grpc.enable_channelz": 0 });
  server.addService(serviceDefinition(ConfigService), { watchConfig: streams.serve(METHOD, (_request, context) => handler(context)) });
  const port = await new Promise<number>((resolve, reject) =>
    server.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), (error, bound) => (error ? reject(error) : resolve(bound))),
  );
  const channel = new GrpcChannel(`127.0.0.1:${port}`, credentials.createInsecure());
  return {
    streams,
    clock,
    registry,
    gated,
    generations,
    listeners,
    entries,
    open: (user = "u", signal?: AbortSignal) =>
      channel.serverStream(METHOD, {}, { headers: { authorization: user }, ...(signal === undefined ? {} : { signal }) }),
    async [Symbol.asyncDispose]() {
      streams.stop();
      channel[Symbol.dispose]();
      await new Promise<void>((resolve) => server.tryShutdown(() => resolve()));
    },
  };
}

/** Says one message, then nothing until it is aborted. */
async function* quiet({ signal }: StreamContext): AsyncGenerator<Answer> {
  yield said("first");
  await new Promise((resolve) => signal.addEventListener("abort", resolve));
}

async function next(stream: AsyncGenerator<WatchConfigResponse, void>): Promise<WatchConfigResponse | undefined> {
  const { value, done } = await stream.next();
  return done === true ? undefined : value;
}

/** Opens a stream and reads its first message; `end` rejects with its error. */
async function opened(stream: AsyncGenerator<WatchConfigResponse, void>) {
  assert.equal(textOf(await next(stream)), "first");
  const end = stream.next();
  end.catch(() => {});
  return { end };
}

async function assertEnds(end: Promise<unknown>, kind: ErrorKind, words: RegExp): Promise<void> {
  await assert.rejects(end, (error) => isNebulaError(error, kind) && words.test(error.message));
}

describe("server streams", () => {
  it("a server stream yields the handler's messages in order, ends with it, and is counted", async () => {
    await using server = await serve(async function* () {
      yield said("1");
      yield said("2");
    });
    const read: (string | undefined)[] = [];
    for await (const message of server.open()) read.push(textOf(message));
    assert.deepEqual(read, ["1", "2"]);
    assert.match(await server.registry.metrics(), /nebula_rpc_calls_total\{method="\/nebula.v1.ConfigService\/WatchConfig",code="0"\} 1/);
    assert.equal(server.streams.size, 0);
  });

  it("a server stream asks the handler for nothing while its reader does not read, and then has the newest", async () => {
    let asked = 0;
    let newest = 0;
    await using server = await serve(async function* () {
      for (;;) {
        asked++;
        yield said(`${newest}${LONG}`);
      }
    });
    const stream = server.open();
    await stream.next();
    let before = -1;
    await eventually(() => {
      const still = asked === before;
      before = asked;
      return still && asked > 1; // the windows of HTTP/2 are full
    });
    assert.ok(asked < 200, `${asked} messages were made for a reader that reads none`);
    newest = 7;
    const stalled = asked;
    for (let read = 1; read <= stalled; read++) await stream.next();
    assert.equal(textOf(await next(stream))?.[0], "7");
    await stream.return();
  });

  it("a message that is not read within a minute ends the stream", async () => {
    await using server = await serve(async function* () {
      for (;;) yield said(LONG);
    });
    const stream = server.open();
    await stream.next();
    await eventually(async () => {
      await server.clock.advance(UNREAD_MS);
      return server.streams.size === 0;
    });
    await assert.rejects(
      (async () => {
        for await (const _ of stream);
      })(),
      (error) => isNebulaError(error, "unavailable"),
    );
  });

  it("a handler's signal is aborted when the caller goes, and its iterator is closed", async () => {
    let aborted = false;
    let closed = false;
    await using server = await serve(async function* (context) {
      try {
        yield* quiet(context);
      } finally {
        closed = true;
        aborted = context.signal.aborted;
      }
    });
    const gone = new AbortController();
    const { end } = await opened(server.open("u", gone.signal));
    gone.abort();
    await assert.rejects(end);
    await eventually(() => closed && aborted && server.streams.size === 0);
  });

  it("an error of the handler is the stream's status; one of no known kind is internal", async () => {
    let thrown: Error = new NebulaError("not_found", "no such group");
    await using server = await serve(async function* () {
      yield said("first");
      throw thrown;
    });
    await assertEnds((await opened(server.open())).end, "not_found", /no such group/);
    thrown = new Error("a fault");
    await assertEnds((await opened(server.open())).end, "internal", /log has its cause/);
    thrown = new NebulaError("resource_exhausted", "too many devices");
    await assertEnds((await opened(server.open())).end, "resource_exhausted", /too many devices/);
    const metrics = await server.registry.metrics();
    for (const [reason, count] of [
      ["failed", 2],
      ["no_room", 1],
      ["done", 0],
    ])
      assert.ok(metrics.includes(`_ended_total{reason="${reason}"} ${count}\n`), metrics);
  });

  it(`one caller has at most ${MOST_PER_USER} streams and a manager ${MOST_STREAMS}; a stream that ended makes room`, async () => {
    await using server = await serve(quiet);
    const gone = new AbortController();
    await opened(server.open("u0", gone.signal));
    for (let count = 1; count < MOST_PER_USER; count++) await opened(server.open("u0"));
    await assertEnds(server.open("u0").next(), "resource_exhausted", /u0 has 20 streams open/);
    for (let count = MOST_PER_USER; count < MOST_STREAMS; count++) await opened(server.open(`u${Math.floor(count / MOST_PER_USER)}`));
    await assertEnds(server.open("other").next(), "resource_exhausted", /200 streams open/);
    gone.abort();
    await eventually(() => server.streams.size === MOST_STREAMS - 1);
    await opened(server.open("other"));
    const metrics = await server.registry.metrics();
    assert.match(metrics, /nebula_server_streams\{method="\/nebula.v1.ConfigService\/WatchConfig"\} 200/);
    assert.match(metrics, /^nebula_server_streams_refused_total 2$/m);
    assert.match(metrics, /^nebula_server_streams_ended_total\{reason="cancelled"\} 1$/m);
  });

  it("a server stream that was opened with a session ends with it, as unauthenticated", async () => {
    await using server = await serve(quiet);
    server.gated.source = { kind: "session", session: session("s1", { expiresAt: server.clock.now() + 60_000 }) };
    const { end } = await opened(server.open());
    await server.clock.advance(59_999);
    assert.equal(server.streams.size, 1);
    await server.clock.advance(1);
    await assertEnds(end, "unauthenticated", /the session has expired/);
  });

  it("a server stream that was opened with a session is looked at again when sessions are due, and no other stream is", async () => {
    await using server = await serve(quiet);
    await opened(server.open("other"));
    server.gated.source = { kind: "session", session: session("s1", { expiresAt: server.clock.now() + LONGEST_MS }) };
    const { end } = await opened(server.open("u"));
    const due = () => server.listeners.forEach((listener) => void listener.sessionsDue?.());
    due();
    await eventually(() => server.gated.count === 3);
    server.gated.refusal = new NebulaError("unauthenticated", "the session has ended");
    due();
    await assertEnds(end, "unauthenticated", /the session has ended/);
    assert.deepEqual([server.streams.size, server.gated.count], [1, 4]);
  });

  it("a stream ends after an hour, and at a stop, with unavailable; none opens after a stop", async () => {
    await using server = await serve(quiet);
    const { end } = await opened(server.open());
    await server.clock.advance(LONGEST_MS - 1);
    assert.equal(server.streams.size, 1);
    await server.clock.advance(1);
    await assertEnds(end, "unavailable", /at most 60 minutes/);
    const second = await opened(server.open());
    server.streams.stop();
    await assertEnds(second.end, "unavailable", /stopping/);
    await assertEnds(server.open().next(), "unavailable", /stopping/);
  });

  it("a stream whose caller may it no more ends in the next generation of access, and one that still may goes on", async () => {
    await using server = await serve(quiet);
    const { end } = await opened(server.open());
    const began = () => server.listeners.forEach((listener) => void listener.began?.());
    began();
    await eventually(() => server.gated.count === 2);
    assert.equal(server.streams.size, 1);
    server.gated.refusal = new NebulaError("permission_denied", "gone");
    began();
    await assertEnds(end, "permission_denied", /gone/);
    assert.deepEqual(server.entries, []);
  });

  it("a named credential is looked at at once, others are not", async () => {
    await using server = await serve(quiet);
    const { end } = await opened(server.open("ann"));
    server.gated.refusal = new NebulaError("unauthenticated", "revoked");
    for (const { named } of server.listeners) named?.("user/bob");
    assert.equal(server.gated.count, 1);
    for (const { named } of server.listeners) named?.("user_group/ops");
    await assertEnds(end, "unauthenticated", /revoked/);
  });

  it("a stream goes on while its credential can't be read, and is looked at again until it can", async () => {
    await using server = await serve(quiet);
    const { end } = await opened(server.open());
    server.gated.refusal = new NebulaError("unavailable", "no store");
    for (const { began } of server.listeners) began?.();
    await eventually(() => server.gated.count === 2);
    await server.clock.advance(5000);
    assert.equal(server.gated.count, 7);
    assert.equal(server.streams.size, 1);
    server.gated.refusal = new NebulaError("unauthenticated", "revoked");
    await server.clock.advance(1000);
    await assertEnds(end, "unauthenticated", /revoked/);
  });

  it("a stream that opens while access changes is looked at, too", async () => {
    await using server = await serve(quiet);
    server.gated.during = () => {
      server.generations.current++;
      server.gated.during = () => {};
    };
    await opened(server.open());
    await eventually(() => server.gated.count === 2);
    await opened(server.open());
    assert.equal(server.gated.count, 3);
  });

  it("the check of a handler sees the rights each time that they were read again, and ends the stream by throwing", async () => {
    const seen: Principal[] = [];
    let refusal: NebulaError | undefined;
    await using server = await serve(async function* (context) {
      context.keepAllowed((principal) => {
        seen.push(principal);
        if (refusal !== undefined) throw refusal;
      });
      yield* quiet(context);
    });
    const { end } = await opened(server.open());
    assert.equal(seen.length, 0);
    for (const { began } of server.listeners) began?.();
    await eventually(() => seen.length === 1);
    refusal = new NebulaError("permission_denied", "no group is left");
    for (const { began } of server.listeners) began?.();
    await assertEnds(end, "permission_denied", /no group is left/);
    assert.notDeepEqual(seen[0], { kind: "user", name: "u", rights: ADMIN_RIGHTS });
  });

  it("a call that is not let in is refused before the handler, and a failed login leaves an entry in the audit log", async () => {
    let handled = 0;
    await using server = await serve(async function* () {
      handled++;
      yield said("first");
    });
    server.gated.refusal = new NebulaError("unauthenticated", "who are you");
    await assertEnds(server.open().next(), "unauthenticated", /who are you/);
    assert.equal(handled, 0);
    await server.clock.advance(61_000);
    assert.deepEqual(
      server.entries.map(({ method, outcome }) => [method, outcome]),
      [["/nebula.v1.ConfigService/WatchConfig", "UNAUTHENTICATED"]],
    );
  });
});
