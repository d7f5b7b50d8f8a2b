import { addressesOverlap, publishedPort } from "../net/published-address.ts";
import type { HostPort } from "./container-spec.ts";

/** `80/tcp`: ports of one number and protocol, on any address. */
export function portKey({ hostPort, protocol }: HostPort): string {
  return `${hostPort}/${protocol}`;
}

/** `80/tcp`, `127.0.0.1:80/tcp`: a port for people. */
export function portText({ address = "", hostPort, protocol }: HostPort): string {
  return `${publishedPort(address, hostPort)}/${protocol}`;
}

/**
 * Whether two containers cannot publish these ports at the same time: number and protocol are equal, and the addresses
 * overlap.
 */
export function portsCollide(a: HostPort, b: HostPort): boolean {
  return portKey(a) === portKey(b) && addressesOverlap(a.address ?? "", b.address ?? "");
}

/** Things by the ports that they claim or hold. */
export class PortMap<T> {
  readonly #byKey = new Map<string, { address: string; value: T }[]>();

  add(port: HostPort, value: T): void {
    const entry = { address: port.address ?? "", value };
    const known = this.#byKey.get(portKey(port));
    if (known === undefined) this.#byKey.set(portKey(port), [entry]);
    else known.push(entry);
  }

  /** Each thing once whose port collides with this one, in the order in which they were added. */
  colliding(port: HostPort): readonly T[] {
    const entries = this.#byKey.get(portKey(port)) ?? [];
    return [...new Set(entries.filter(({ address }) => addressesOverlap(address, port.address ?? "")).map(({ value }) => value))];
  }
}
