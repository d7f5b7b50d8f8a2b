import { strict as assert } from "node:assert";
import { type Client, credentials, Metadata, makeGenericClientConstructor, Server, ServerCredentials, type ServiceError } from "@grpc/grpc-js";
import { Registry } from "prom-client";
import { systemClock } from "../../common/clock/system-clock.ts";
import { isNebulaError } from "../../common/errors/nebula-error.ts";
import { silentLog } from "../../common/log/log.ts";
import { GrpcChannel } from "../../common/rpc/grpc-channel.ts";
import { serviceDefinition } from "../../common/rpc/service-definition.ts";
import { eventually } from "../../common/testing/eventually.ts";
import { StatusService } from "../../gen/nebula/v1/status_pb.ts";
import { ADMIN_RIGHTS } from "../access/rights/rights.ts";
import { configuredLogin } from "../access/verified-credentials.ts";
import { keepAudit } from "../testing/kept-audit.ts";
import type { CallContext } from "./call-context.ts";
import { createRpcMetrics } from "./rpc-metrics.ts";
import { serveUnary } from "./serve-unary.ts";

/** A server whose one method does what the test says. */
async function serve(handler: (context: CallContext) => Promise<{ version?: string }>) {
  const registry = new Registry();
  const principal = { kind: "user", name: "u", rights: ADMIN_RIGHTS } as const;
  const gate = async () => ({ principal, login: configuredLogin(principal), viaPart: false, peer: "from" });
  const { audit } = keepAudit();
  const deps = { gate, audit, metrics: createRpcMetrics(registry), clock: systemClock, log: silentLog };
  const server = new Server({ "grpc.enable_channelz": 0 });
  server.addService(serviceDefinition(StatusService), {
    getStatus: serveUnary(StatusService.method.getStatus, (_request, context) => handler(context), deps),
  });
  const port = await new Promise<number>((resolve, reject) =>
    server.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), (error, bound) => (error ? reject(error) : resolve(bound))),
  );
  const channel = new GrpcChannel(`127.0.0.1:${port}`, credentials.createInsecure());
  return {
    port,
    channel,
    registry,
    call: (options: { signal?: AbortSignal; timeoutMs?: number; headers?: Record<string, string> } = {}) =>
      channel.unary(StatusService.method.getStatus, {}, options),
    async [Symbol.asyncDispose]() {
      channel[Symbol.dispose]();
      await new Promise<void>((resolve) => server.tryShutdown(() => resolve()));
    },
  };
}

describe("unary calls", () => {
  it("a unary call gives the handler its context, and the caller's id if it is valid", async () => {
    const seen: CallContext[] = [];
    await using server = await serve(async (context) => {
      seen.push(context);
      return { version: "v" };
    });
    assert.equal((await server.call({ headers: { "x-request-id": "mine-1" } })).version, "v");
    await server.call({ headers: { "x-request-id": "no id: spaces" } });
    assert.deepEqual([seen[0]?.requestId, seen[0]?.peer, seen[0]?.principal], ["mine-1", "from", { kind: "user", name: "u", rights: ADMIN_RIGHTS }]);
    assert.match(seen[1]?.requestId ?? "", /^[A-Za-z0-9_-]{12}$/);
  });

  it("a unary call aborts the handler's signal when the caller disconnects, and when its deadline passes", async () => {
    const signals: AbortSignal[] = [];
    await using server = await serve(({ signal }) => {
      signals.push(signal);
      return new Promise((_resolve, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
    });
    const gone = new AbortController();
    const cancelled = server.call({ signal: gone.signal });
    cancelled.catch(() => {});
    await eventually(() => signals.length === 1);
    gone.abort();
    await assert.rejects(cancelled, (error) => isNebulaError(error, "cancelled"));
    await assert.rejects(server.call({ timeoutMs: 100 }), (error) => isNebulaError(error, "deadline_exceeded"));
    await eventually(() => signals.length === 2 && signals.every(({ aborted }) => aborted));
  });

  it("a unary call does not abort the handler's signal once it was answered", async () => {
    const signals: AbortSignal[] = [];
    await using server = await serve(async ({ signal }) => {
      signals.push(signal);
      return {};
    });
    for (let call = 0; call < 3; call++) await server.call();
    assert.deepEqual(
      signals.map(({ aborted }) => aborted),
      [false, false, false],
    );
  });

  it("unary calls are counted by method and code, and timed", async () => {
    let fails = false;
    await using server = await serve(async () => {
      if (fails) throw new Error("a fault");
      return {};
    });
    await server.call();
    fails = true;
    await assert.rejects(server.call(), (error) => isNebulaError(error, "internal"));
    const text = await server.registry.metrics();
    assert.match(text, /nebula_rpc_calls_total\{method="\/nebula.v1.StatusService\/GetStatus",code="0"\} 1/);
    assert.match(text, /nebula_rpc_calls_total\{method="\/nebula.v1.StatusService\/GetStatus",code="13"\} 1/);
    assert.match(text, /nebula_rpc_seconds_count\{method="\/nebula.v1.StatusService\/GetStatus"\} 2/);
  });

  it("unary calls with a message above 4 MiB are refused", async () => {
    await using server = await serve(async () => ({}));
    const Raw = makeGenericClientConstructor({}, "raw");
    const client: Client = new Raw(`127.0.0.1:${server.port}`, credentials.createInsecure());
    const error = await new Promise<ServiceError | null>((resolve) => {
      const bytes = (value: Buffer) => value;
      client.makeUnaryRequest("/nebula.v1.StatusService/GetStatus", bytes, bytes, Buffer.alloc(4 * 1024 * 1024 + 1), new Metadata(), (failure) =>
        resolve(failure),
      );
    });
    client.close();
    assert.equal(error?.code, 8);
  });
});
