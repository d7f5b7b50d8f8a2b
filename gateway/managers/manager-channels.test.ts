import { strict as assert } from "node:assert";
import { readFile } from "node:fs/promises";
import { createServer, type TLSSocket } from "node:tls";
import { create } from "@bufbuild/protobuf";
import { Server, ServerCredentials } from "@grpc/grpc-js";
import { systemClock } from "../../common/clock/system-clock.ts";
import { silentLog } from "../../common/log/log.ts";
import { serviceDefinition } from "../../common/rpc/service-definition.ts";
import { eventually } from "../../common/testing/eventually.ts";
import { TestAuthority } from "../../common/testing/test-authority.ts";
import type { ClientTls } from "../../common/tls/client-tls.ts";
import { AppService, GetAppResponseSchema } from "../../gen/nebula/v1/app_pb.ts";
import { CALLS_PER_CHANNEL, ManagerChannels } from "./manager-channels.ts";
import { ManagerPool } from "./manager-pool.ts";

describe("the connections to one manager", function () {
  this.timeout(20_000);

  it("one connection to a manager is used as long as it has room, then another", () => {
    using channels = new ManagerChannels({ protocol: "grpc", host: "127.0.0.1", port: 1 }, () => ({}));
    const leases = Array.from({ length: CALLS_PER_CHANNEL }, () => channels.lease());
    assert.equal(channels.size, 1);
    const another = channels.lease();
    assert.equal(channels.size, 2);
    assert.notEqual(another.channel, leases[0]?.channel);
    leases[0]?.[Symbol.dispose]();
    assert.equal(channels.lease().channel, leases[1]?.channel, "what has room again is used again");
  });

  it("connections to a manager are bounded, and the emptiest takes the calls beyond", () => {
    using channels = new ManagerChannels({ protocol: "grpc", host: "127.0.0.1", port: 1 }, () => ({}));
    const leases = Array.from({ length: 33 * CALLS_PER_CHANNEL }, () => channels.lease());
    assert.equal(channels.size, 32);
    const perChannel = new Map<unknown, number>();
    for (const { channel } of leases) perChannel.set(channel, (perChannel.get(channel) ?? 0) + 1);
    const counts = [...perChannel.values()];
    assert.ok(Math.max(...counts) - Math.min(...counts) <= 1);
  });

  it("connections to a manager are replaced when the trusted certificates change, while calls in flight continue", async () => {
    await using first = await TestAuthority.make();
    await using second = await TestAuthority.make();
    const [before, after] = [await first.issue("before"), await second.issue("after")];
    await using manager = await SlowManager.start(before);
    let trust: ClientTls = { ca: await readFile(first.caFile) };
    using pool = new ManagerPool({
      headers: {},
      urls: [{ protocol: "grpcs", host: "127.0.0.1", port: manager.port }],
      tls: () => trust,
      clock: systemClock,
      log: silentLog,
    });
    const { signal } = new AbortController();
    const get = () => pool.unary(AppService.method.getApp, create(AppService.method.getApp.input), { signal, timeoutMs: 10_000 });
    const underWay = get();
    await eventually(() => manager.waiting.length === 1);

    manager.listener.setSecureContext(after);
    trust = { ca: await readFile(second.caFile) };
    pool.renew();
    const next = get();
    await eventually(() => manager.waiting.length === 2);
    assert.equal(manager.connections, 2);
    for (const answer of manager.waiting) answer();
    await Promise.all([underWay, next]);
    await eventually(() => manager.connections === 1, { timeoutMs: 5000 });
  });
});

/** A manager over TLS that answers on demand. */
class SlowManager implements AsyncDisposable {
  readonly waiting: (() => void)[] = [];
  readonly #server = new Server({ "grpc.enable_channelz": 0 });
  readonly #sockets = new Set<TLSSocket>();
  readonly listener;
  port = 0;

  static async start(issued: { cert: Buffer; key: Buffer }): Promise<SlowManager> {
    const manager = new SlowManager(issued);
    await new Promise<void>((resolve) => manager.listener.listen(0, "127.0.0.1", resolve));
    const address = manager.listener.address();
    manager.port = typeof address === "object" && address !== null ? address.port : 0;
    return manager;
  }

  private constructor({ cert, key }: { cert: Buffer; key: Buffer }) {
    this.#server.addService(serviceDefinition(AppService), {
      getApp: (_call: unknown, answer: (error: null, value: unknown) => void) =>
        void this.waiting.push(() => answer(null, create(GetAppResponseSchema))),
    });
    const injector = this.#server.createConnectionInjector(ServerCredentials.createInsecure());
    this.listener = createServer({ cert, key, ALPNProtocols: ["h2"] }, (socket) => {
      this.#sockets.add(socket);
      socket.on("close", () => this.#sockets.delete(socket)).on("error", () => {});
      injector.injectConnection(socket);
    });
  }

  get connections(): number {
    return this.#sockets.size;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.listener.close();
    for (const socket of this.#sockets) socket.destroy();
    this.#server.forceShutdown();
  }
}
