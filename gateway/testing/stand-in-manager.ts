import { createServer, type Socket } from "node:net";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { Metadata, Server, ServerCredentials, type ServerUnaryCall, type ServerWritableStream, type sendUnaryData, status } from "@grpc/grpc-js";
import { codeOf } from "../../common/errors/codes.ts";
import { isNebulaError } from "../../common/errors/nebula-error.ts";
import { decoded, serviceDefinition, Undecodable } from "../../common/rpc/service-definition.ts";
import { encodeStatusDetails, STATUS_DETAILS_KEY } from "../../common/rpc/status-details.ts";
import { Health, HealthCheckResponseSchema } from "../../gen/grpc/health/v1/health_pb.ts";
import { AccessService, type CheckRequest, CheckRequestSchema, CheckResponseSchema } from "../../gen/nebula/v1/access_pb.ts";
import { AppService, CreateAppRequestSchema, type CreateAppResponseSchema, type GetAppResponseSchema } from "../../gen/nebula/v1/app_pb.ts";
import { ConfigService, type WatchConfigResponseSchema } from "../../gen/nebula/v1/config_pb.ts";
import { GetStatusResponseSchema, StatusService } from "../../gen/nebula/v1/status_pb.ts";

export type Seen = Readonly<{ method: string; metadata: Metadata; timeoutMs: number }>;

/** The answers of a stand-in. A method that throws a NebulaError answers with it. */
export type Answers = {
  /** The status of its store; without it the stand-in has no health service, as a manager of an older version. */
  health?: () => Promise<MessageInitShape<typeof HealthCheckResponseSchema>>;
  /** Without it the stand-in has no status, and does not tell its version. */
  status?: () => Promise<MessageInitShape<typeof GetStatusResponseSchema>>;
  check?: (request: CheckRequest) => Promise<MessageInitShape<typeof CheckResponseSchema>>;
  createApp?: (name: string) => Promise<MessageInitShape<typeof CreateAppResponseSchema>>;
  getApp?: () => Promise<MessageInitShape<typeof GetAppResponseSchema>>;
  watchConfig?: (signal: AbortSignal) => AsyncIterable<MessageInitShape<typeof WatchConfigResponseSchema>>;
};

/** A gRPC server in a manager's place: it notes the calls, and answers as the test sets. The gateway itself must not import the manager. */
export class StandInManager implements AsyncDisposable {
  readonly seen: Seen[] = [];
  /** Calls that were cancelled by the gateway. */
  cancelled = 0;
  readonly #server = new Server({ "grpc.enable_channelz": 0 });
  readonly #listener = createServer();
  readonly #sockets = new Set<Socket>();
  port = 0;

  static async start(answers: Answers, port = 0, host = "127.0.0.1"): Promise<StandInManager> {
    const manager = new StandInManager();
    await manager.#listen(answers, port, host);
    return manager;
  }

  /** Calls of one method that it saw. */
  calls(method: string): number {
    return this.seen.filter((seen) => seen.method === method).length;
  }

  /** Takes no new connections; those that there are stay. */
  takeNoMore(): void {
    this.#listener.close();
  }

  async #listen(answers: Answers, port: number, host: string): Promise<void> {
    const unary =
      (method: string, handle: (name: string) => Promise<object>) => (call: ServerUnaryCall<unknown, unknown>, callback: sendUnaryData<unknown>) => {
        this.#note(method, call);
        call.on("cancelled", () => this.cancelled++);
        const request = decoded(CreateAppRequestSchema, call.request);
        handle(request instanceof Undecodable ? "" : (request.app?.name ?? "")).then(
          (value) => callback(null, value),
          (error: unknown) => callback(errorOf(error)),
        );
      };
    const missing = async (): Promise<never> => {
      throw new Error("the stand-in has no answer");
    };
    this.#server.addService(serviceDefinition(AppService), {
      createApp: unary("createApp", async (name) => create(AppService.method.createApp.output, await (answers.createApp ?? missing)(name))),
      getApp: unary("getApp", async () => create(AppService.method.getApp.output, await (answers.getApp ?? missing)())),
    });
    this.#server.addService(serviceDefinition(AccessService), {
      check: (call: ServerUnaryCall<unknown, unknown>, callback: sendUnaryData<unknown>) => {
        this.#note("check", call);
        const request = decoded(CheckRequestSchema, call.request);
        const asked = request instanceof Undecodable ? missing() : (answers.check ?? missing)(request);
        asked.then(
          (value) => callback(null, create(CheckResponseSchema, value)),
          (error: unknown) => callback(errorOf(error)),
        );
      },
    });
    if (answers.health !== undefined) {
      this.#server.addService(serviceDefinition(Health), {
        check: unary("health", async () => create(HealthCheckResponseSchema, await (answers.health ?? missing)())),
      });
    }
    if (answers.status !== undefined) {
      this.#server.addService(serviceDefinition(StatusService), {
        getStatus: unary("getStatus", async () => create(GetStatusResponseSchema, await (answers.status ?? missing)())),
      });
    }
    this.#server.addService(serviceDefinition(ConfigService), {
      watchConfig: (call: ServerWritableStream<unknown, unknown>) => {
        this.#note("watchConfig", call);
        const gone = new AbortController();
        call.on("cancelled", () => {
          this.cancelled++;
          gone.abort();
        });
        this.#stream(call, answers.watchConfig?.(gone.signal) ?? missing()).catch((error: unknown) => call.emit("error", errorOf(error)));
      },
    });
    const injector = this.#server.createConnectionInjector(ServerCredentials.createInsecure());
    this.#listener.on("connection", (socket) => {
      this.#sockets.add(socket);
      injector.injectConnection(socket);
    });
    this.port = await new Promise<number>((resolve, reject) => {
      this.#listener.once("error", reject);
      this.#listener.listen(port, host, () => {
        const address = this.#listener.address();
        resolve(typeof address === "object" && address !== null ? address.port : 0);
      });
    });
  }

  async #stream(
    call: ServerWritableStream<unknown, unknown>,
    answers: AsyncIterable<MessageInitShape<typeof WatchConfigResponseSchema>> | Promise<never>,
  ): Promise<void> {
    for await (const answer of await answers) call.write(create(ConfigService.method.watchConfig.output, answer));
    call.end();
  }

  #note(method: string, call: ServerUnaryCall<unknown, unknown> | ServerWritableStream<unknown, unknown>): void {
    const deadline = call.getDeadline();
    this.seen.push({ method, metadata: call.metadata, timeoutMs: Number(deadline instanceof Date ? deadline.getTime() : deadline) - Date.now() });
  }

  /** Goes as a process that is killed does: without a word on its connections. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#listener.close();
    for (const socket of this.#sockets) socket.destroy();
    this.#server.forceShutdown();
  }
}

function errorOf(error: unknown): { code: number; details: string; metadata: Metadata } {
  const metadata = new Metadata();
  if (!isNebulaError(error)) return { code: status.INTERNAL, details: String(error), metadata };
  const details = encodeStatusDetails(error);
  if (details !== undefined) metadata.set(STATUS_DETAILS_KEY, Buffer.from(details));
  return { code: codeOf(error.kind), details: error.message, metadata };
}
