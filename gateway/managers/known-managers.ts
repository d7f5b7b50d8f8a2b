/**
 * The managers that the settings name: an address is one, a name stands for all its addresses.
 *
 * K1 Names are looked up every LOOKUP_EVERY_MS. An address that is new is dialled; one that is not there any more gets no new calls.
 * K2 A lookup that fails, or yields nothing, changes nothing.
 */
import { lookup } from "node:dns/promises";
import { isIP } from "node:net";
import type { Clock } from "../../common/clock/clock.ts";
import { messageOf } from "../../common/errors/nebula-error.ts";
import type { Log } from "../../common/log/log.ts";
import { formatAddress } from "../../common/net/address.ts";
import type { ServerUrl } from "../../common/settings/settings.ts";
import type { ClientTls } from "../../common/tls/client-tls.ts";
import { Manager } from "./manager.ts";

/** K1, milliseconds. */
export const LOOKUP_EVERY_MS = 10_000;

/** Answers the IP addresses of a name. */
export type Lookup = (name: string) => Promise<readonly string[]>;

export type KnownManagersOptions = Readonly<{
  urls: readonly ServerUrl[];
  /** The TLS for `grpcs://` managers. */
  tls: () => ClientTls;
  /** Of a call of the gateway's own. */
  headers: Readonly<Record<string, string>>;
  clock: Clock;
  log: Log;
  lookup?: Lookup;
}>;

const lookupHere: Lookup = async (name) => (await lookup(name, { all: true })).map(({ address }) => address);

export class KnownManagers implements Disposable {
  readonly #options: KnownManagersOptions;
  readonly #life = new AbortController();
  /** By the position of the URL in the settings and by address. */
  readonly #managers = new Map<string, Manager>();
  readonly #failing = new Set<string>();
  /** Resolves after the first lookup of every name, also a failed one. */
  readonly lookedUp: Promise<void>;

  constructor(options: KnownManagersOptions) {
    this.#options = options;
    const names: number[] = [];
    for (const [index, url] of options.urls.entries()) {
      if (isIP(url.host) === 0) names.push(index);
      else this.#add(index, url, undefined);
    }
    this.lookedUp = names.length === 0 ? Promise.resolve() : this.#lookUp(names);
    if (names.length > 0) void this.#lookUpAgain(names);
  }

  /** In the order of the settings. */
  get all(): readonly Manager[] {
    return [...this.#managers.values()];
  }

  /** The managers as the settings name them, for a message. */
  get named(): string {
    return this.#options.urls.map(formatAddress).join(", ");
  }

  #add(index: number, url: ServerUrl, name: string | undefined): void {
    const { tls, headers, clock, log } = this.#options;
    this.#managers.set(keyOf(index, url.host), new Manager({ url, name, tls, headers, clock, log }));
  }

  async #lookUpAgain(names: readonly number[]): Promise<void> {
    const { signal } = this.#life;
    await this.lookedUp;
    while (!signal.aborted) {
      await this.#options.clock.sleep(LOOKUP_EVERY_MS, signal).catch(() => {});
      if (!signal.aborted) await this.#lookUp(names);
    }
  }

  async #lookUp(names: readonly number[]): Promise<void> {
    await Promise.all(names.map((index) => this.#lookUpOne(index)));
  }

  async #lookUpOne(index: number): Promise<void> {
    const { urls, log, lookup: addressesOf = lookupHere } = this.#options;
    const url = urls[index];
    if (url === undefined) return;
    try {
      const addresses = await addressesOf(url.host);
      if (this.#life.signal.aborted || addresses.length === 0) return; // K2
      this.#failing.delete(url.host);
      this.#follow(index, url, addresses);
    } catch (error) {
      if (!this.#failing.has(url.host)) log.warn({ manager: url.host, error: messageOf(error) }, "the name of a manager cannot be looked up");
      this.#failing.add(url.host);
    }
  }

  #follow(index: number, url: ServerUrl, addresses: readonly string[]): void {
    const wanted = new Set(addresses.map((host) => keyOf(index, host)));
    for (const [key, manager] of this.#managers) {
      if (!key.startsWith(keyOf(index, "")) || wanted.has(key)) continue;
      this.#managers.delete(key);
      manager.retire();
      this.#options.log.info({ name: url.host, address: manager.address }, "a manager's name does not lead to an address any more");
    }
    for (const host of addresses) if (!this.#managers.has(keyOf(index, host))) this.#add(index, { ...url, host }, url.host);
  }

  [Symbol.dispose](): void {
    this.#life.abort();
    for (const manager of this.#managers.values()) manager[Symbol.dispose]();
  }
}

function keyOf(index: number, host: string): string {
  return `${index} ${host}`;
}
