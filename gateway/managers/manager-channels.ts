import { ChannelCredentials } from "@grpc/grpc-js";
import { formatAddress } from "../../common/net/address.ts";
import { GrpcChannel } from "../../common/rpc/grpc-channel.ts";
import { tlsChannel } from "../../common/rpc/tls-channel.ts";
import type { ServerUrl } from "../../common/settings/settings.ts";
import type { ClientTls } from "../../common/tls/client-tls.ts";

// The connections to one manager.
//
// N1: a call goes on the first channel that has room. A manager serves a number of calls at once on each connection, and lets more wait: streams that
//     callers hold for hours would keep all others out.
// N2: a channel that is replaced ends with its last call.

/** Calls on a connection before the next one is opened: below what a manager serves at once. */
export const CALLS_PER_CHANNEL = 500;

/** Connections to one manager; with all of them full, calls go where the fewest are. */
const MOST_CHANNELS = 32;

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

type Kept = { readonly channel: GrpcChannel; calls: number; replaced: boolean };

/** A channel for the time of one call. */
export type Lease = Disposable & Readonly<{ channel: GrpcChannel }>;

export class ManagerChannels implements Disposable {
  readonly address: string;
  readonly #url: ServerUrl;
  readonly #tls: () => ClientTls;
  readonly #name: string | undefined;
  #isRetired = false;
  #channels: Kept[];

  /**
   * @param tls asked for each new connection
   * @param name the name that led to the address of the URL
   */
  constructor(url: ServerUrl, tls: () => ClientTls, name?: string) {
    this.address = formatAddress(url);
    this.#url = url;
    this.#tls = tls;
    this.#name = name;
    this.#channels = [this.#open()];
  }

  /** Whether a connection stands now; where none does, one is begun. */
  get connected(): boolean {
    return this.#channels.some(({ channel }) => channel.connected);
  }

  /** Connections, standing or begun. */
  get size(): number {
    return this.#channels.length;
  }

  /** Resolves when it is connected; rejects with `unavailable` after `timeoutMs`. */
  async ready(timeoutMs: number): Promise<void> {
    const [first] = this.#channels;
    await first?.channel.ready(timeoutMs);
  }

  lease(): Lease {
    const kept = this.#withRoom();
    kept.calls++;
    return {
      channel: kept.channel,
      [Symbol.dispose]: () => {
        kept.calls--;
        if (kept.replaced && kept.calls === 0) kept.channel[Symbol.dispose]();
      },
    };
  }

  /** New calls go on new connections: what is trusted, or shown, is another. */
  renew(): void {
    if (this.#url.protocol !== "grpcs") return;
    const before = this.#channels;
    this.#channels = [this.#open()];
    for (const kept of before) retire(kept);
  }

  /** Nothing leads to this manager any more: calls that are under way go on, and nothing else does. */
  retire(): void {
    this.#isRetired = true;
    for (const kept of this.#channels) retire(kept);
    this.#channels = [];
  }

  #withRoom(): Kept {
    const roomy = this.#channels.find(({ calls }) => calls < CALLS_PER_CHANNEL);
    if (roomy !== undefined) return roomy;
    if (this.#channels.length < MOST_CHANNELS) {
      const another = this.#open();
      this.#channels.push(another);
      return another;
    }
    return this.#channels.reduce((fewest, kept) => (kept.calls < fewest.calls ? kept : fewest));
  }

  #open(): Kept {
    const { credentials, options } =
      this.#url.protocol === "grpcs"
        ? tlsChannel(this.address, this.#tls(), this.#name)
        : { credentials: ChannelCredentials.createInsecure(), options: {} };
    return { channel: new GrpcChannel(this.address, credentials, { ...CHANNEL_OPTIONS, ...options }), calls: 0, replaced: this.#isRetired };
  }

  [Symbol.dispose](): void {
    for (const { channel } of this.#channels) channel[Symbol.dispose]();
  }
}

/** N2 */
function retire(kept: Kept): void {
  kept.replaced = true;
  if (kept.calls === 0) kept.channel[Symbol.dispose]();
}
