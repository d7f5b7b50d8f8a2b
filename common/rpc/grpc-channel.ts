import type { DescMessage, DescMethod, MessageInitShape, MessageShape } from "@bufbuild/protobuf";
import { create } from "@bufbuild/protobuf";
import {
  type ChannelCredentials,
  type ChannelOptions,
  Client,
  type ClientDuplexStream,
  type ClientReadableStream,
  connectivityState,
  Metadata,
  type ServiceError,
  status,
} from "@grpc/grpc-js";
import { isNebulaError, messageOf, NebulaError } from "../errors/nebula-error.ts";
import { withCertificateHint } from "../tls/certificate-trouble.ts";
import { decoded, methodDefinition, Undecodable } from "./service-definition.ts";
import { errorFromStatus, STATUS_DETAILS_KEY } from "./status-details.ts";

export type CallOptions = Readonly<{
  signal?: AbortSignal;
  /** The call ends with `deadline_exceeded` after this many milliseconds. */
  timeoutMs?: number;
  /** Request headers, by lower-case name. */
  headers?: Readonly<Record<string, string>>;
}>;

type UnaryMethod<I extends DescMessage, O extends DescMessage> = DescMethod & { methodKind: "unary"; input: I; output: O };
type StreamMethod<I extends DescMessage, O extends DescMessage> = DescMethod & { methodKind: "server_streaming"; input: I; output: O };
type BidiMethod<I extends DescMessage, O extends DescMessage> = DescMethod & { methodKind: "bidi_streaming"; input: I; output: O };

/** A stream on which both sides send. */
export type BidiStream<O extends DescMessage> = Readonly<{
  /** Its answers, one at a time, for one reader; leaving the loop, or the signal, cancels the call. */
  answers: AsyncGenerator<MessageShape<O>, void>;
  /** Sends one more request, encoded. Without effect once the call has ended. */
  send: (request: Uint8Array) => void;
}>;

/** A gRPC channel to one address, with calls by generated method. Errors are NebulaErrors of the kind that the status code stands for. */
export class GrpcChannel implements Disposable {
  readonly #client: Client;
  #closed = false;

  /** @param address host:port */
  constructor(address: string, credentials: ChannelCredentials, options: ChannelOptions = {}) {
    this.#client = new Client(address, credentials, { "grpc.enable_channelz": 0, "grpc.use_local_subchannel_pool": 1, ...options });
  }

  unary<I extends DescMessage, O extends DescMessage>(
    method: UnaryMethod<I, O>,
    request: MessageInitShape<I>,
    options: CallOptions = {},
  ): Promise<MessageShape<O>> {
    const { path, requestSerialize, responseDeserialize } = methodDefinition(method);
    return new Promise((resolve, reject) => {
      if (options.signal?.aborted) return reject(cancelled());
      const onAbort = () => call.cancel();
      const call = this.#client.makeUnaryRequest(
        path,
        requestSerialize,
        responseDeserialize,
        create(method.input, request),
        metadataOf(options.headers),
        deadlineOf(options.timeoutMs),
        (error, value) => {
          options.signal?.removeEventListener("abort", onAbort);
          if (error) return reject(fromServiceError(error));
          const message = decoded(method.output, value);
          if (message instanceof Undecodable) return reject(new NebulaError("internal", `unreadable answer: ${message.reason}`));
          resolve(message);
        },
      );
      options.signal?.addEventListener("abort", onAbort);
    });
  }

  /** The answers of a server stream, one at a time; leaving the loop, or the signal, cancels the call. */
  serverStream<I extends DescMessage, O extends DescMessage>(
    method: StreamMethod<I, O>,
    request: MessageInitShape<I>,
    options: CallOptions = {},
  ): AsyncGenerator<MessageShape<O>, void> {
    return answersOf(() => this.openStream(method, request, options), method.output, options.signal);
  }

  /**
   * Opens a stream of requests, with its first one, and of answers, which have to be read.
   * @param onHeaders called when the headers of the answers arrive: a server may send them long before the first answer
   */
  bidiStream<I extends DescMessage, O extends DescMessage>(
    method: BidiMethod<I, O>,
    first: MessageInitShape<I>,
    { onHeaders = () => {}, ...options }: CallOptions & { onHeaders?: () => void } = {},
  ): BidiStream<O> {
    const { path, requestSerialize, responseDeserialize } = methodDefinition(method);
    const call: ClientDuplexStream<unknown, unknown> = this.#client.makeBidiStreamRequest(
      path,
      requestSerialize,
      responseDeserialize,
      metadataOf(options.headers),
      deadlineOf(options.timeoutMs),
    );
    call.once("metadata", onHeaders);
    call.write(create(method.input, first));
    return { answers: answersOf(() => call, method.output, options.signal), send: (request) => void call.write(request) };
  }

  /** The bare call of grpc-js, for who needs its headers or its trailers. */
  openStream<I extends DescMessage>(
    method: StreamMethod<I, DescMessage>,
    request: MessageInitShape<I>,
    options: CallOptions = {},
  ): ClientReadableStream<unknown> {
    const { path, requestSerialize, responseDeserialize } = methodDefinition(method);
    const message = create(method.input, request);
    return this.#client.makeServerStreamRequest(
      path,
      requestSerialize,
      responseDeserialize,
      message,
      metadataOf(options.headers),
      deadlineOf(options.timeoutMs),
    );
  }

  /** Whether the connection stands now; one that does not is begun to be made. */
  get connected(): boolean {
    return this.#connect() === connectivityState.READY;
  }

  /** Resolves when the channel is connected; rejects with `unavailable` after `timeoutMs`, and when the channel is closed before that. */
  ready(timeoutMs: number): Promise<void> {
    const deadline = Date.now() + timeoutMs;
    return new Promise((resolve, reject) => {
      const look = (late?: Error) => {
        const state = this.#connect();
        if (state === connectivityState.READY) resolve();
        else if (state === connectivityState.SHUTDOWN) reject(new NebulaError("unavailable", "the channel was closed before it was connected"));
        else if (late !== undefined) reject(new NebulaError("unavailable", `not connected within ${timeoutMs} ms`, { cause: late }));
        else this.#client.getChannel().watchConnectivityState(state, deadline, look);
      };
      look();
    });
  }

  /** The state of the connection. A closed channel of grpc-js that is asked to connect does so, and then keeps its connection for good: it is not asked. */
  #connect(): connectivityState {
    return this.#closed ? connectivityState.SHUTDOWN : this.#client.getChannel().getConnectivityState(true);
  }

  [Symbol.dispose](): void {
    this.#closed = true;
    // A turn later: addresses that grpc-js has just looked up reach a channel that is closed meanwhile, which then connects to them for good.
    setImmediate(() => this.#client.close());
  }
}

/** The answers of a call, which is opened with the first look at them. */
async function* answersOf<O extends DescMessage>(
  open: () => Pick<ClientReadableStream<unknown>, "cancel" | "on" | typeof Symbol.asyncIterator>,
  output: O,
  signal: AbortSignal | undefined,
): AsyncGenerator<MessageShape<O>, void> {
  const call = open();
  const onAbort = () => call.cancel();
  signal?.addEventListener("abort", onAbort);
  try {
    if (signal?.aborted) throw cancelled();
    for await (const value of call) {
      const message = decoded(output, value);
      if (message instanceof Undecodable) throw new NebulaError("internal", `unreadable answer: ${message.reason}`);
      yield message;
    }
  } catch (error) {
    throw isNebulaError(error) ? error : fromServiceError(error);
  } finally {
    signal?.removeEventListener("abort", onAbort);
    call.on("error", () => {}); // a cancelled call still reports its end
    call.cancel();
  }
}

function metadataOf(headers: Readonly<Record<string, string>> = {}): Metadata {
  const metadata = new Metadata();
  for (const [name, value] of Object.entries(headers)) metadata.set(name, value);
  return metadata;
}

function deadlineOf(timeoutMs: number | undefined): { deadline?: number } {
  return timeoutMs === undefined ? {} : { deadline: Date.now() + timeoutMs };
}

function cancelled(): NebulaError {
  return new NebulaError("cancelled", "the call was cancelled");
}

/** The NebulaError that an error of grpc-js stands for. */
function fromServiceError(error: unknown): NebulaError {
  if (!isServiceError(error)) return new NebulaError("internal", messageOf(error), { cause: error });
  const [details] = error.metadata.get(STATUS_DETAILS_KEY);
  return errorFromStatus(
    error.code,
    error.code === status.UNAVAILABLE ? withCertificateHint(error.details) : error.details,
    details instanceof Uint8Array ? details : undefined,
  );
}

function isServiceError(error: unknown): error is ServiceError {
  return error instanceof Error && "code" in error && typeof error.code === "number" && "metadata" in error && error.metadata instanceof Metadata;
}
