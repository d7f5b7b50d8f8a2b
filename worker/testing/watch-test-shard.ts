import { once } from "node:events";
import { connect, createServer, type Server as NetServer, type Socket } from "node:net";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { create } from "@bufbuild/protobuf";
import { Metadata, Server, ServerCredentials, type ServerDuplexStream, type ServerUnaryCall, type ServerWritableStream, status } from "@grpc/grpc-js";
import { kindOf } from "../../common/errors/codes.ts";
import { NebulaError } from "../../common/errors/nebula-error.ts";
import { decoded, serviceDefinition, Undecodable } from "../../common/rpc/service-definition.ts";
import { encodeStatusDetails, STATUS_DETAILS_KEY } from "../../common/rpc/status-details.ts";
import {
  ConfigService,
  type ReportAnswerSchema,
  WatchAndReportRequestSchema,
  WatchAndReportResponseSchema,
  type WatchConfigRequest,
  WatchConfigRequestSchema,
  WatchConfigResponseSchema,
} from "../../gen/nebula/v1/config_pb.ts";
import { type Report, ReportService, SubmitReportsRequestSchema, SubmitReportsResponseSchema } from "../../gen/nebula/v1/report_pb.ts";
import { GetShardMapResponseSchema, ShardService } from "../../gen/nebula/v1/shard_pb.ts";

type Answer = NonNullable<MessageInitShape<typeof WatchConfigResponseSchema>["answer"]>;
type ReportAnswerInit = MessageInitShape<typeof ReportAnswerSchema>;
type WatchStream = ServerWritableStream<unknown, unknown> | ServerDuplexStream<unknown, unknown>;

/** A watch that arrived at a shard of a test. */
export class TestWatch {
  readonly request: WatchConfigRequest;
  readonly authorization: string;
  ended = false;
  /** Requests with reports that came on the stream and have no answer, oldest first; undefined: a watch of WatchConfig. */
  readonly unanswered: Report[][] | undefined;
  readonly #call: WatchStream;

  constructor(call: WatchStream, request: WatchConfigRequest, { takesReports = false } = {}) {
    this.#call = call;
    this.request = request;
    this.unanswered = takesReports ? [] : undefined;
    this.authorization = String(call.metadata.get("authorization")[0] ?? "");
    call.on("cancelled", () => {
      this.ended = true;
    });
  }

  /** Sends the headers of its answers alone, as a manager that has the watch and cannot load its config. */
  begin(): void {
    this.#call.sendMetadata(new Metadata());
  }

  send(answer: Answer): void {
    this.#call.write(create(this.unanswered === undefined ? WatchConfigResponseSchema : WatchAndReportResponseSchema, { answer }));
  }

  /** Answers the oldest request with reports that has no answer. */
  answerReports(value: ReportAnswerInit): void {
    this.unanswered?.shift();
    this.#call.write(create(WatchAndReportResponseSchema, { answer: { case: "report", value } }));
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
    failCall(this.#call, code, details);
  }
}

function failCall(call: WatchStream, code: status, details: string): void {
  call.emit("error", Object.assign(new Error(details), { code, details, metadata: new Metadata() }));
}

export type TestShardOptions = Readonly<{
  /** Host and port to listen at. */
  address?: string;
  credentials?: ServerCredentials;
  /** Where it is of a release without WatchAndReport: how it answers that. `refuses`: as a server that has the method, and headers sent already. */
  earlier?: "has no such method" | "refuses" | undefined;
}>;

/** A manager of a test, on a loopback port: what it answers is up to the test. For tests only. */
export class TestShard implements AsyncDisposable {
  address = "";
  /** Every watch that arrived, oldest first. */
  readonly watches: TestWatch[] = [];
  /** Called with each watch as it arrives. */
  onWatch: (watch: TestWatch) => void = () => {};
  map: readonly string[] = [];
  mapRequests = 0;
  /** Reports that it took, oldest first. */
  readonly reports: Report[] = [];
  /** Calls of SubmitReports. */
  reportCalls = 0;
  refuseReports = false;
  /** The answer to reports that it refuses. */
  refusal: Readonly<{ code: status; message: string; retryAfterMs: number }> = { code: status.UNAVAILABLE, message: "no consumer", retryAfterMs: 0 };
  /** Reports get no answer. On the stream of a watch they, and those after them, stay in its `unanswered`. */
  ignoreReports = false;
  /** Reports on the stream of a watch are answered `by_call`. */
  byCall = false;
  readonly #server = new Server({ "grpc.max_receive_message_length": -1 });

  private constructor(earlier: TestShardOptions["earlier"]) {
    const { watchAndReport, ...before } = serviceDefinition(ConfigService);
    if (watchAndReport === undefined) throw new Error("ConfigService has no WatchAndReport");
    this.#server.addService(earlier === "has no such method" ? before : { ...before, watchAndReport }, {
      getConfig: () => {},
      watchConfig: (call: ServerWritableStream<unknown, unknown>) => {
        const request = decoded(WatchConfigRequestSchema, call.request);
        if (request instanceof Undecodable) throw new Error(request.reason);
        this.#opened(new TestWatch(call, request));
      },
      watchAndReport: (call: ServerDuplexStream<unknown, unknown>) => {
        if (earlier === undefined) return this.#watchAndReport(call);
        call.sendMetadata(new Metadata());
        failCall(call, status.UNIMPLEMENTED, "WatchAndReport is not served here");
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
        this.reportCalls++;
        if (this.ignoreReports) return;
        const request = decoded(SubmitReportsRequestSchema, call.request);
        if (request instanceof Undecodable) throw new Error(request.reason);
        if (this.refuseReports) return answer(statusOf(this.refusal));
        this.reports.push(...request.reports);
        answer(null, create(SubmitReportsResponseSchema));
      },
    });
  }

  static async open({
    address = "127.0.0.1:0",
    credentials = ServerCredentials.createInsecure(),
    earlier,
  }: TestShardOptions = {}): Promise<TestShard> {
    const shard = new TestShard(earlier);
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

  #opened(watch: TestWatch): void {
    this.watches.push(watch);
    this.onWatch(watch);
  }

  #watchAndReport(call: ServerDuplexStream<unknown, unknown>): void {
    let watch: TestWatch | undefined;
    call.on("data", (value: unknown) => {
      const message = decoded(WatchAndReportRequestSchema, value);
      if (message instanceof Undecodable) throw new Error(message.reason);
      const { request } = message;
      if (request.case === undefined || (request.case === "watch") !== (watch === undefined)) throw new Error(`unexpected request ${request.case}`);
      if (request.case === "watch") {
        watch = new TestWatch(call, request.value, { takesReports: true });
        this.#opened(watch);
      } else if (watch !== undefined) {
        watch.unanswered?.push(request.value.reports);
        this.answerReports(watch);
      }
    });
  }

  /** Answers the reports on the stream of a watch that have no answer. */
  answerReports(watch: TestWatch): void {
    for (;;) {
      const [reports] = watch.unanswered ?? [];
      if (reports === undefined || this.ignoreReports) return;
      if (this.byCall) watch.answerReports({ byCall: true });
      else if (this.refuseReports) watch.answerReports(this.refusal);
      else {
        this.reports.push(...reports);
        watch.answerReports({});
      }
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.forceShutdown();
  }
}

/** A refusal as the status of a call. */
function statusOf({ code, message, retryAfterMs }: TestShard["refusal"]): object {
  const metadata = new Metadata();
  const details = encodeStatusDetails(new NebulaError(kindOf(code), message, retryAfterMs === 0 ? {} : { retryAfterMs }));
  if (details !== undefined) metadata.set(STATUS_DETAILS_KEY, Buffer.from(details));
  return { code, details: message, metadata };
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
