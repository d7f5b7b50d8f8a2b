import type { DescMessage, DescMethodServerStreaming, DescMethodUnary, MessageShape } from "@bufbuild/protobuf";
import { MethodOptions_IdempotencyLevel } from "@bufbuild/protobuf/wkt";
import { isNebulaError, NebulaError } from "../common/errors/nebula-error.ts";
import type { CallOptions } from "../common/rpc/grpc-channel.ts";
import type { ServerUrl } from "../common/settings/settings.ts";
import type { ClientTls } from "../common/tls/client-tls.ts";
import { type Lease, ManagerChannels } from "./manager-channels.ts";

// The managers that calls go to: any that is up.
//
// P1: a call goes to a manager whose connection stands; while one stands nobody waits for another.
// P2: a call is sent once. Only one that changes nothing is sent a second time, when the connection broke before its answer came.
// P3: where a connection broke under a call that may change something, the answer says that the outcome is not known.

/** How long a call waits for the first of the managers to be connected, milliseconds. */
const CONNECT_MS = 3000;

/** Calls to any manager that is up. */
export class ManagerPool implements Disposable {
  readonly #managers: readonly ManagerChannels[];
  #turn = 0;

  /** @param tls what `grpcs://` managers are dialled with */
  constructor(managers: readonly ServerUrl[], tls: () => ClientTls = () => ({})) {
    this.#managers = managers.map((url) => new ManagerChannels(url, tls));
  }

  /** Has new calls go on new connections, since what `tls` answers has changed. Calls that are under way go on. */
  renew(): void {
    for (const manager of this.#managers) manager.renew();
  }

  /** Whether a manager is connected now. */
  get connected(): boolean {
    return this.#managers.some(({ connected }) => connected);
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
    using lease = manager.lease();
    try {
      return await lease.channel.unary(method, request, options);
    } catch (error) {
      if (!brokeUnder(lease, error)) throw error;
      if (method.idempotency !== MethodOptions_IdempotencyLevel.NO_SIDE_EFFECTS) throw outcomeUnknown(manager, error); // P2, P3
      using other = (await this.#pick(options.signal)).lease();
      return await other.channel.unary(method, request, options);
    }
  }

  /** The messages of a server stream; leaving the loop, or the signal, ends it at the manager too. */
  async *serverStream(
    method: DescMethodServerStreaming,
    request: MessageShape<DescMessage>,
    options: CallOptions & { signal: AbortSignal },
  ): AsyncGenerator<MessageShape<DescMessage>, void> {
    using lease = (await this.#pick(options.signal)).lease();
    yield* lease.channel.serverStream(method, request, options);
  }

  /** The next manager in turn among those that are connected, or whichever is first to be (P1). */
  async #pick(signal: AbortSignal): Promise<ManagerChannels> {
    const connected = this.#managers.filter(({ connected }) => connected);
    const inTurn = connected[this.#turn++ % Math.max(1, connected.length)];
    if (inTurn !== undefined) return inTurn;
    const attempts = this.#managers.map(async (manager) => {
      await manager.ready(CONNECT_MS);
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
    for (const manager of this.#managers) manager[Symbol.dispose]();
  }
}

/** Whether a call failed since its connection broke: a manager that says `unavailable` itself stays connected. */
function brokeUnder({ channel }: Lease, error: unknown): boolean {
  return isNebulaError(error, "unavailable") && !channel.connected;
}

function outcomeUnknown({ address }: ManagerChannels, cause: unknown): NebulaError {
  return new NebulaError(
    "unavailable",
    `the connection to manager ${address} broke before its answer came: outcome unknown, the call may or may not have been carried out`,
    { cause },
  );
}
