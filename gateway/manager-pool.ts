import type { DescMessage, DescMethodServerStreaming, DescMethodUnary, MessageShape } from "@bufbuild/protobuf";
import { MethodOptions_IdempotencyLevel } from "@bufbuild/protobuf/wkt";
import { credentials } from "@grpc/grpc-js";
import { isNebulaError, NebulaError } from "../common/errors/nebula-error.ts";
import { type CallOptions, GrpcChannel } from "../common/rpc/grpc-channel.ts";
import { formatAddress } from "../common/settings/parse-listen-address.ts";
import type { ServerUrl } from "../common/settings/settings.ts";

// The managers that calls go to: any that is up.
//
// P1: a call goes to a manager whose connection stands; while one stands nobody waits for another.
// P2: a call is sent once. Only one that changes nothing is sent a second time, when the connection broke before its answer came.
// P3: where a connection broke under a call that may change something, the answer says that the outcome is not known.

/** How long a call waits for the first of the managers to be connected, milliseconds. */
const CONNECT_MS = 3000;

const CHANNEL_OPTIONS = {
  "grpc.initial_reconnect_backoff_ms": 100,
  "grpc.min_reconnect_backoff_ms": 100,
  "grpc.max_reconnect_backoff_ms": 2000,
  // A manager's machine that vanished without a word is found out, and a watch that is quiet for hours shows that somebody is there.
  "grpc.keepalive_time_ms": 30_000,
  "grpc.keepalive_timeout_ms": 10_000,
  "grpc.max_receive_message_length": 128 * 1024 * 1024,
  "grpc.max_send_message_length": 16 * 1024 * 1024,
};

type Manager = Readonly<{ address: string; channel: GrpcChannel }>;

/** Calls to any manager that is up. */
export class ManagerPool implements Disposable {
  readonly #managers: readonly Manager[];
  #turn = 0;

  constructor(managers: readonly ServerUrl[]) {
    this.#managers = managers.map((url) => ({
      address: formatAddress(url),
      channel: new GrpcChannel(
        formatAddress(url),
        url.protocol === "grpcs" ? credentials.createSsl() : credentials.createInsecure(),
        CHANNEL_OPTIONS,
      ),
    }));
  }

  /** Whether a manager is connected now. */
  get connected(): boolean {
    return this.#managers.some(({ channel }) => channel.connected);
  }

  /** Resolves when a manager is connected; rejects with `unavailable` after a few seconds, or when the signal is aborted. */
  async connect(signal: AbortSignal): Promise<void> {
    await this.#pick(signal);
  }

  async unary(
    method: DescMethodUnary,
    request: MessageShape<DescMessage>,
    options: CallOptions & { signal: AbortSignal },
  ): Promise<MessageShape<DescMessage>> {
    const manager = await this.#pick(options.signal);
    try {
      return await manager.channel.unary(method, request, options);
    } catch (error) {
      if (!brokeUnder(manager, error)) throw error;
      if (method.idempotency !== MethodOptions_IdempotencyLevel.NO_SIDE_EFFECTS) throw outcomeUnknown(manager, error); // P2, P3
      const other = await this.#pick(options.signal);
      return await other.channel.unary(method, request, options);
    }
  }

  /** The messages of a server stream; leaving the loop, or the signal, ends it at the manager too. */
  async *serverStream(
    method: DescMethodServerStreaming,
    request: MessageShape<DescMessage>,
    options: CallOptions & { signal: AbortSignal },
  ): AsyncGenerator<MessageShape<DescMessage>, void> {
    const { channel } = await this.#pick(options.signal);
    yield* channel.serverStream(method, request, options);
  }

  /** The next manager in turn among those that are connected, or whichever is first to be (P1). */
  async #pick(signal: AbortSignal): Promise<Manager> {
    const connected = this.#managers.filter(({ channel }) => channel.connected);
    const inTurn = connected[this.#turn++ % Math.max(1, connected.length)];
    if (inTurn !== undefined) return inTurn;
    const attempts = this.#managers.map(async (manager) => {
      await manager.channel.ready(CONNECT_MS);
      return manager;
    });
    const gone = Promise.withResolvers<never>();
    const onAbort = () => gone.reject(new NebulaError("cancelled", "the caller went away, or its deadline passed"));
    if (signal.aborted) onAbort();
    signal.addEventListener("abort", onAbort);
    try {
      return await Promise.race([Promise.any(attempts), gone.promise]);
    } catch (error) {
      if (isNebulaError(error)) throw error;
      const addresses = this.#managers.map(({ address }) => address).join(", ");
      throw new NebulaError("unavailable", `no manager answers at ${addresses}: is it running, and does NEBULA_MANAGERS name it?`, { cause: error });
    } finally {
      signal.removeEventListener("abort", onAbort);
    }
  }

  [Symbol.dispose](): void {
    for (const { channel } of this.#managers) channel[Symbol.dispose]();
  }
}

/** Whether a call failed since its connection broke: a manager that says `unavailable` itself stays connected. */
function brokeUnder({ channel }: Manager, error: unknown): boolean {
  return isNebulaError(error, "unavailable") && !channel.connected;
}

function outcomeUnknown({ address }: Manager, cause: unknown): NebulaError {
  return new NebulaError(
    "unavailable",
    `the connection to manager ${address} broke before its answer came: outcome unknown, the call may or may not have been carried out`,
    { cause },
  );
}
