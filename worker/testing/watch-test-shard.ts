import { once } from "node:events";
import { connect, createServer, type Server as NetServer, type Socket } from "node:net";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { create } from "@bufbuild/protobuf";
import { Metadata, Server, ServerCredentials, type ServerUnaryCall, type ServerWritableStream, status } from "@grpc/grpc-js";
import { decoded, serviceDefinition, Undecodable } from "../../common/rpc/service-definition.ts";
import { ConfigService, type WatchConfigRequest, WatchConfigRequestSchema, WatchConfigResponseSchema } from "../../gen/nebula/v1/config_pb.ts";
import { type Report, ReportService, SubmitReportsRequestSchema, SubmitReportsResponseSchema } from "../../gen/nebula/v1/report_pb.ts";
import { GetShardMapResponseSchema, ShardService } from "../../gen/nebula/v1/shard_pb.ts";

type Answer = NonNullable<MessageInitShape<typeof WatchConfigResponseSchema>["answer"]>;

/** A watch that arrived at a shard of a test. */
export class TestWatch {
  readonly request: WatchConfigRequest;
  readonly authorization: string;
  ended = false;
  readonly #call: ServerWritableStream<unknown, unknown>;

  constructor(call: ServerWritableStream<unknown, unknown>, request: WatchConfigRequest) {
    this.#call = call;
    this.request = request;
    this.authorization = String(call.metadata.get("authorization")[0] ?? "");
    call.on("cancelled", () => {
      this.ended = true;
    });
  }

  send(answer: Answer): void {
    this.#call.write(create(WatchConfigResponseSchema, { answer }));
  }

  config(groupRevision: bigint, etag: string): void {
    this.send({ case: "config", value: { config: { deviceGroup: this.request.deviceGroup, groupRevision }, etag } });
  }

  redirect(address: string, retryAfterMs = 0): void {
    this.send({ case: "redirect", value: { address, retryAfterMs } });
    this.#call.end();
  }

  end(): void {
    this.#call.end();
  }

  fail(code: status, details: string): void {
    this.#call.emit("error", Object.assign(new Error(details), { code, details, metadata: new Metadata() }));
  }
}

/** A manager of a test, on a loopback port: what it answers is up to the test. For tests only. */
export class TestShard implements AsyncDisposable {
  address = "";
  /** Every watch that arrived, oldest first. */
  readonly watches: TestWatch[] = [];
  /** Called with each watch as it arrives. */
  onWatch: (watch: TestWatch) => void = () => {};
  map: readonly string[] = [];
  mapRequests = 0;
  readonly reports: Report[] = [];
  refuseReports = false;
  /** Reports get no answer. */
  ignoreReports = false;
  readonly #server = new Server({ "grpc.max_receive_message_length": -1 });

  private constructor() {
    this.#server.addService(serviceDefinition(ConfigService), {
      getConfig: () => {},
      watchConfig: (call: ServerWritableStream<unknown, unknown>) => {
        const request = decoded(WatchConfigRequestSchema, call.request);
        if (request instanceof Undecodable) throw new Error(request.reason);
        const watch = new TestWatch(call, request);
        this.watches.push(watch);
        this.onWatch(watch);
      },
    });
    this.#server.addService(serviceDefinition(ShardService), {
      getShardMap: (_call: unknown, answer: (error: null, value: unknown) => void) => {
        this.mapRequests++;
        answer(null, create(GetShardMapResponseSchema, { shards: this.map.map((address) => ({ address })) }));
      },
    });
    this.#server.addService(serviceDefinition(ReportService), {
      listReports: () => {},
      submitReports: (call: ServerUnaryCall<unknown, unknown>, answer: (error: object | null, value?: unknown) => void) => {
        if (this.ignoreReports) return;
        const request = decoded(SubmitReportsRequestSchema, call.request);
        if (this.refuseReports || request instanceof Undecodable) return answer({ code: status.UNAVAILABLE, details: "no consumer" });
        this.reports.push(...request.reports);
        answer(null, create(SubmitReportsResponseSchema));
      },
    });
  }

  static async open(address = "127.0.0.1:0", credentials = ServerCredentials.createInsecure()): Promise<TestShard> {
    const shard = new TestShard();
    const port = await new Promise<number>((resolve, reject) =>
      shard.#server.bindAsync(address, credentials, (error, bound) => (error ? reject(error) : resolve(bound))),
    );
    shard.address = `${address.split(":")[0]}:${port}`;
    shard.map = [shard.address];
    return shard;
  }

  get last(): TestWatch {
    const watch = this.watches.at(-1);
    if (watch === undefined) throw new Error("no watch has arrived");
    return watch;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.forceShutdown();
  }
}

/** A wire between a worker and a shard that can be cut, or go dead without a word. For tests only. */
export class TestWire implements AsyncDisposable {
  address = "";
  #dead = false;
  readonly #sockets = new Set<Socket>();
  readonly #server: NetServer;

  private constructor(target: string) {
    const [host = "", port = ""] = target.split(":");
    this.#server = createServer((near) => {
      const far = connect(Number(port), host);
      for (const [from, to] of [
        [near, far],
        [far, near],
      ] as const) {
        this.#sockets.add(from);
        from.on("data", (bytes) => this.#dead || to.write(bytes));
        from.on("error", () => {});
        from.on("close", () => to.destroy());
      }
    });
  }

  static async open(target: string): Promise<TestWire> {
    const wire = new TestWire(target);
    await once(wire.#server.listen(0, "127.0.0.1"), "listening");
    const address = wire.#server.address();
    if (typeof address !== "object" || address === null) throw new Error("no address");
    wire.address = `127.0.0.1:${address.port}`;
    return wire;
  }

  /** Nothing passes any more, and no end learns of it. */
  die(): void {
    this.#dead = true;
  }

  revive(): void {
    this.#dead = false;
    this.cut();
  }

  cut(): void {
    for (const socket of this.#sockets) socket.destroy();
    this.#sockets.clear();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.cut();
    this.#server.close();
  }
}
