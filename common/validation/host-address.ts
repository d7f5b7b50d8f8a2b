import { isIPv4, isIPv6, SocketAddress } from "node:net";

/** Addresses that stand for every address of a device; no address is the usual one. */
const ALL: ReadonlySet<string> = new Set(["", "0.0.0.0", "::"]);

/** An IPv4 or IPv6 address in its one form, without brackets and zone; undefined: the text is not an address. */
export function canonicalAddress(text: string): string | undefined {
  if (isIPv4(text)) return text;
  if (!isIPv6(text) || text.includes("%")) return undefined;
  return new SocketAddress({ address: text, family: "ipv6" }).address;
}

/** Whether ports that are published on an address are published on every address of the device. */
export function isEveryAddress(address: string): boolean {
  return ALL.has(address);
}

/** Whether one port cannot be published on both: the addresses are equal, or one of them is every address. */
export function addressesOverlap(a: string, b: string): boolean {
  return a === b || isEveryAddress(a) || isEveryAddress(b);
}

/** `8080`, `127.0.0.1:8080`, `[::1]:8080`: a port as Docker's command line writes it. */
export function publishedPort(address: string, port: number | string): string {
  if (address === "") return `${port}`;
  return address.includes(":") ? `[${address}]:${port}` : `${address}:${port}`;
}
