/**
 * One manager, as the gateway knows it.
 *
 * M1 While it is connected it is asked every PING_EVERY_MS whether it reaches its store. One that answers neither that within PING_LIMIT_MS, nor any call
 *    meanwhile, is left out until it answers one of the two.
 * M2 One that does not know the question, as a manager of an older version, counts as one that reaches its store.
 */
import type { Clock } from "../../common/clock/clock.ts";
import { isNebulaError, messageOf } from "../../common/errors/nebula-error.ts";
import type { Log } from "../../common/log/log.ts";
import type { ServerUrl } from "../../common/settings/settings.ts";
import type { ClientTls } from "../../common/tls/client-tls.ts";
import { Health, HealthCheckResponse_ServingStatus as Serving } from "../../gen/grpc/health/v1/health_pb.ts";
import { StatusService } from "../../gen/nebula/v1/status_pb.ts";
import { type Lease, ManagerChannels } from "./manager-channels.ts";

/** M1 */
export const PING_EVERY_MS = 5000;
export const PING_LIMIT_MS = 3000;
/** The name of a manager's store in its health service. */
const STORE_SERVICE = "nebula.store";
/** How long one wait for a connection lasts, milliseconds; then it is waited again. */
const CONNECT_MS = 5000;

/** `up`: calls go to it. `without_store`: only while none is up. `silent`: it is left out (M1). `away`: it is not connected. */
export type ManagerState = "up" | "without_store" | "silent" | "away";

export type ManagerOptions = Readonly<{
  url: ServerUrl;
  /** The name that led to the address of the URL; undefined: the settings hold the address. */
  name: string | undefined;
  tls: () => ClientTls;
  /** Of a call of the gateway's own. */
  headers: Readonly<Record<string, string>>;
  clock: Clock;
  log: Log;
}>;

export class Manager implements Disposable {
  /** host:port */
  readonly address: string;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #headers: Readonly<Record<string, string>>;
  readonly #channels: ManagerChannels;
  readonly #life = new AbortController();
  /** Answers so far, to pings and to calls. */
  #answers = 0;
  #isSilent = false;
  #reachesStore = true;
  #isLogged = false;

  constructor({ url, name, tls, headers, clock, log }: ManagerOptions) {
    this.#clock = clock;
    this.#log = log;
    this.#headers = headers;
    this.#channels = new ManagerChannels(url, tls, name);
    this.address = this.#channels.address;
    void this.#watch();
  }

  get state(): ManagerState {
    if (!this.#channels.connected) return "away";
    if (this.#isSilent) return "silent";
    return this.#reachesStore ? "up" : "without_store";
  }

  /** The manager answered a call, with an error or without. */
  answered(): void {
    this.#answers++;
    this.#isSilent = false;
  }

  /** Resolves when it is connected; rejects with `unavailable` after `timeoutMs`. */
  ready(timeoutMs: number): Promise<void> {
    return this.#channels.ready(timeoutMs);
  }

  lease(): Lease {
    return this.#channels.lease();
  }

  /** New calls go on new connections, since what is trusted, or shown, is another. */
  renew(): void {
    this.#channels.renew();
  }

  /** Nothing leads to it any more: calls that are under way go on. */
  retire(): void {
    this.#life.abort();
    this.#channels.retire();
  }

  async #watch(): Promise<void> {
    const { signal } = this.#life;
    while (!signal.aborted) {
      const isConnected = await this.#channels.ready(CONNECT_MS).then(
        () => true,
        () => false,
      );
      if (!isConnected || signal.aborted) continue;
      await this.#ping();
      if (!this.#isLogged && this.state !== "silent") await this.#logFound();
      await this.#clock.sleep(PING_EVERY_MS, signal).catch(() => {});
    }
  }

  async #ping(): Promise<void> {
    const before = this.#answers;
    const over = new AbortController();
    const signal = AbortSignal.any([this.#life.signal, over.signal]);
    const late = this.#clock.sleep(PING_LIMIT_MS, signal).then(
      () => over.abort(),
      () => {},
    );
    using lease = this.lease();
    try {
      const { status } = await lease.channel.unary(Health.method.check, { service: STORE_SERVICE }, { signal });
      this.#reachesStore = status === Serving.SERVING;
      this.answered();
    } catch (error) {
      if (isAnswer(error, lease)) {
        this.#reachesStore = true; // M2
        this.answered();
      } else if (this.#answers === before) this.#isSilent = true; // M1
    } finally {
      over.abort();
      await late;
    }
  }

  /** Has the log say, once, which manager answers here. */
  async #logFound(): Promise<void> {
    using lease = this.lease();
    try {
      const call = { headers: this.#headers, signal: this.#life.signal, timeoutMs: PING_LIMIT_MS };
      const { version, cluster } = await lease.channel.unary(StatusService.method.getStatus, {}, call);
      const found = { address: this.address, version, cluster: cluster?.id, epoch: Number(cluster?.epoch ?? 0n), reachesStore: this.#reachesStore };
      this.#isLogged = true;
      this.#log.info(found, "a manager answers");
    } catch (error) {
      if (!isAnswer(error, lease)) return; // it is asked again after the next ping
      this.#isLogged = true;
      this.#log.info({ address: this.address, error: messageOf(error) }, "a manager answers, and does not tell its version");
    }
  }

  [Symbol.dispose](): void {
    this.#life.abort();
    this.#channels[Symbol.dispose]();
  }
}

/** Whether the error of a call is what the manager answered, and does not come from the connection or from the caller. */
export function isAnswer(error: unknown, { channel }: Lease): boolean {
  if (!isNebulaError(error)) return false;
  switch (error.kind) {
    case "unavailable":
      return channel.connected; // a manager that says `unavailable` itself stays connected
    case "cancelled":
    case "deadline_exceeded":
      return false;
    default:
      return true;
  }
}
