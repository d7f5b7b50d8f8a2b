/**
 * Calls to the managers.
 *
 * P1 A call goes to a manager that is connected and answers; one that reaches its store comes before one that does not. While there is one, nobody waits for
 *    another.
 * P2 Calls of one key (call-key.ts) keep to one manager while it is up; all others take turns.
 * P3 A read without an answer for READ_MS goes to another manager too, and so does one whose connection broke; the first answer counts.
 * P4 A write is sent once. A write goes to another manager only where it cannot have been sent: the first one could not be connected.
 * P5 Where a connection broke under a write, the answer says that the outcome is not known.
 */
import type { DescMessage, DescMethodServerStreaming, DescMethodUnary, Message, MessageShape } from "@bufbuild/protobuf";
import type { Clock } from "../../common/clock/clock.ts";
import { isNebulaError, NebulaError } from "../../common/errors/nebula-error.ts";
import { ranked } from "../../common/membership/rendezvous.ts";
import type { CallOptions } from "../../common/rpc/grpc-channel.ts";
import { callKey, isRead } from "./call-key.ts";
import { KnownManagers, type KnownManagersOptions } from "./known-managers.ts";
import { isAnswer, type Manager, type ManagerState } from "./manager.ts";
import type { Lease } from "./manager-channels.ts";

/** How long a call waits for the first of the managers to be connected, milliseconds. */
const CONNECT_MS = 3000;
/** P3, milliseconds. */
export const READ_MS = 3000;

type PoolCall = CallOptions & { signal: AbortSignal };

export class ManagerPool implements Disposable {
  readonly #managers: KnownManagers;
  readonly #clock: Clock;
  #turn = 0;

  constructor(options: KnownManagersOptions) {
    this.#managers = new KnownManagers(options);
    this.#clock = options.clock;
  }

  /** Has new calls go on new connections, since what `tls` answers has changed. Calls that are under way go on. */
  renew(): void {
    for (const manager of this.#managers.all) manager.renew();
  }

  /** Whether a manager is connected and answers now. */
  get connected(): boolean {
    return this.#managers.all.some(({ state }) => state === "up" || state === "without_store");
  }

  /** Managers by their state. */
  get states(): Readonly<Record<ManagerState, number>> {
    const states = { up: 0, without_store: 0, silent: 0, away: 0 };
    for (const { state } of this.#managers.all) states[state]++;
    return states;
  }

  /** Resolves when a manager is connected; rejects with `unavailable` after a few seconds, or when the signal is aborted. */
  async connect(signal: AbortSignal): Promise<void> {
    await this.#pick(undefined, signal);
  }

  async unary(method: DescMethodUnary, request: MessageShape<DescMessage>, options: PoolCall): Promise<MessageShape<DescMessage>> {
    const key = callKey(method, request, options.headers ?? {});
    return isRead(method) ? await this.#read(method, request, key, options) : await this.#write(method, request, key, options);
  }

  /** The messages of a server stream; leaving the loop, or the signal, ends it at the manager too. */
  async *serverStream(
    method: DescMethodServerStreaming,
    request: MessageShape<DescMessage>,
    options: PoolCall,
  ): AsyncGenerator<MessageShape<DescMessage>, void> {
    const manager = await this.#pick(undefined, options.signal);
    using lease = manager.lease();
    for await (const message of lease.channel.serverStream(method, request, options)) {
      manager.answered();
      yield message;
    }
  }

  async #read(method: DescMethodUnary, request: Message, key: string | undefined, options: PoolCall): Promise<Message> {
    const first = await this.#pick(key, options.signal);
    const over = new AbortController(); // ends what is not waited for any more
    const onAbort = () => over.abort(options.signal.reason);
    options.signal.addEventListener("abort", onAbort);
    const send = (manager: Manager) => attempt(manager, method, request, { ...options, signal: over.signal });
    try {
      const one = send(first);
      const late = this.#clock.sleep(READ_MS, over.signal);
      const isLate = await Promise.race([late.then(isTrue, isFalse), one.then(isFalse, isFalse)]);
      const other = isLate ? this.#choose(key, first) : undefined;
      const answer = Promise.any(other === undefined ? [one] : [one, send(other)]); // P3
      return settled(await answer.catch(async () => send(await this.#pick(key, over.signal)))); // all that it was sent to broke
    } catch (error) {
      throw error instanceof ConnectionBroke ? error.cause : error;
    } finally {
      options.signal.removeEventListener("abort", onAbort);
      over.abort();
    }
  }

  async #write(method: DescMethodUnary, request: Message, key: string | undefined, options: PoolCall): Promise<Message> {
    const first = await this.#pick(key, options.signal);
    using lease = first.lease();
    if (await isConnected(lease)) return await sendOnce(first, lease, method, request, options);
    const other = this.#choose(key, first);
    if (other === undefined) throw this.#noManager();
    using otherLease = other.lease();
    if (!(await isConnected(otherLease))) throw this.#noManager();
    return await sendOnce(other, otherLease, method, request, options); // P4
  }

  /** P1, P2: the manager for a call among those that are up now, this one excepted. */
  #choose(key: string | undefined, except?: Manager): Manager | undefined {
    const states = this.#managers.all.filter((manager) => manager !== except).map((manager) => ({ manager, state: manager.state }));
    const inState = (wanted: ManagerState) => states.filter(({ state }) => state === wanted).map(({ manager }) => manager);
    const up = inState("up");
    const usable = up.length > 0 ? up : inState("without_store");
    if (usable.length <= 1) return usable[0];
    if (key === undefined) return usable[this.#turn++ % usable.length];
    const [best] = ranked(
      [key],
      usable.map(({ address }) => ({ name: address, address, boot: address })),
    );
    return usable.find(({ address }) => address === best?.address);
  }

  /** The manager for a call, once one is up. Rejects with `unavailable` after a few seconds, and with `cancelled` when the signal is aborted. */
  async #pick(key: string | undefined, signal: AbortSignal): Promise<Manager> {
    const now = this.#choose(key);
    if (now !== undefined) return now;
    const gone = Promise.withResolvers<never>();
    const onAbort = () => gone.reject(new NebulaError("cancelled", "the caller went away, or its deadline passed"));
    if (signal.aborted) onAbort();
    signal.addEventListener("abort", onAbort);
    try {
      await Promise.race([this.#anyReady(), gone.promise]);
    } catch (error) {
      throw isNebulaError(error) ? error : this.#noManager(error);
    } finally {
      signal.removeEventListener("abort", onAbort);
    }
    const chosen = this.#choose(key);
    if (chosen === undefined) throw this.#noManager();
    return chosen;
  }

  async #anyReady(): Promise<void> {
    await this.#managers.lookedUp;
    await Promise.any(this.#managers.all.map((manager) => manager.ready(CONNECT_MS)));
  }

  #noManager(cause?: unknown): NebulaError {
    const why = `no manager answers at ${this.#managers.named}: is it running, and does NEBULA_MANAGERS name it?`;
    return new NebulaError("unavailable", why, { cause });
  }

  [Symbol.dispose](): void {
    this.#managers[Symbol.dispose]();
  }
}

/** The connection of a call broke before its answer came; `cause` is the error of the call. */
class ConnectionBroke extends Error {
  override readonly name = "ConnectionBroke";
}

type Settled = Readonly<{ kind: "answer"; message: Message } | { kind: "failed"; error: unknown }>;

function settled(outcome: Settled): Message {
  if (outcome.kind === "failed") throw outcome.error;
  return outcome.message;
}

/** Sends a read to one manager. Rejects with ConnectionBroke alone. */
async function attempt(manager: Manager, method: DescMethodUnary, request: Message, options: PoolCall): Promise<Settled> {
  using lease = manager.lease();
  try {
    const message = await lease.channel.unary(method, request, options);
    manager.answered();
    return { kind: "answer", message };
  } catch (error) {
    if (isAnswer(error, lease)) manager.answered();
    else if (isNebulaError(error, "unavailable")) throw new ConnectionBroke("the connection broke under a call", { cause: error });
    return { kind: "failed", error };
  }
}

/** Sends a write, to this manager alone. */
async function sendOnce(manager: Manager, lease: Lease, method: DescMethodUnary, request: Message, options: PoolCall): Promise<Message> {
  try {
    const answer = await lease.channel.unary(method, request, options);
    manager.answered();
    return answer;
  } catch (error) {
    if (isAnswer(error, lease)) manager.answered();
    else if (isNebulaError(error, "unavailable")) throw outcomeUnknown(manager, error); // P5
    throw error;
  }
}

/** Whether the channel is connected, after a wait of some seconds at most. */
async function isConnected({ channel }: Lease): Promise<boolean> {
  return channel.connected || (await channel.ready(CONNECT_MS).then(isTrue, isFalse));
}

function outcomeUnknown({ address }: Manager, cause: unknown): NebulaError {
  return new NebulaError(
    "unavailable",
    `the connection to manager ${address} broke before its answer came: outcome unknown, the call may or may not have been carried out`,
    { cause },
  );
}

function isTrue(): boolean {
  return true;
}

function isFalse(): boolean {
  return false;
}
