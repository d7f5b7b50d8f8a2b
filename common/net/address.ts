import { BlockList, isIP, isIPv4, isIPv6, SocketAddress } from "node:net";

/** Addresses that stand for every address of a machine. A port that is published without an address is published on all. */
const EVERY: ReadonlySet<string> = new Set(["", "0.0.0.0", "::"]);

/** Also matches IPv4-mapped IPv6 addresses (`::ffff:127.0.0.1`), and IPv6 addresses of any notation. */
const LOOPBACK = new BlockList();
LOOPBACK.addSubnet("127.0.0.0", 8, "ipv4");
LOOPBACK.addAddress("::1", "ipv6");

/** Whether only this machine can reach the host: `localhost`, or a loopback address in any notation. */
export function isLoopback(host: string): boolean {
  if (host === "localhost") return true;
  const family = isIP(host);
  return family !== 0 && LOOPBACK.check(host, family === 4 ? "ipv4" : "ipv6");
}

/** Whether a listener on the address listens on every interface. */
export function isUnspecified(host: string): boolean {
  return /^(?:::ffff:)?0\.0\.0\.0$|^::$/.test(canonicalAddress(host) ?? host);
}

/** Where a listener is dialled from its own machine: one on every interface by loopback. */
export function dialable({ host, port }: Readonly<{ host: string; port: number }>): { host: string; port: number } {
  return isUnspecified(host) ? { host: isIPv6(host) && !host.includes(".") ? "::1" : "127.0.0.1", port } : { host, port };
}

/** The IPv4 address that an IPv6 socket shows as `::ffff:192.0.2.1`; any other text unchanged. */
export function withoutMapping(address: string): string {
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address)?.[1];
  return mapped !== undefined && isIPv4(mapped) ? mapped : address;
}

/** `host:port`, with brackets around an IPv6 address. */
export function formatAddress({ host, port }: Readonly<{ host: string; port: number }>): string {
  return `${isIPv6(host) ? `[${host}]` : host}:${port}`;
}

/** The canonical notation of an IPv4 or IPv6 address, without brackets; undefined if the text is not an address, or has a zone. */
export function canonicalAddress(text: string): string | undefined {
  if (isIPv4(text)) return text;
  if (!isIPv6(text) || text.includes("%")) return undefined;
  return new SocketAddress({ address: text, family: "ipv6" }).address;
}

/** Whether a port that is published on the address is published on every address of the device. */
export function isEveryAddress(address: string): boolean {
  return EVERY.has(address);
}

/** Whether one port cannot be published on both addresses: they are equal, or one of them is every address. */
export function addressesOverlap(a: string, b: string): boolean {
  return a === b || isEveryAddress(a) || isEveryAddress(b);
}

/** `8080`, `127.0.0.1:8080`, `[::1]:8080`: a port as the command line of Docker writes it. */
export function publishedPort(address: string, port: number | string): string {
  return address === "" ? `${port}` : `${address.includes(":") ? `[${address}]` : address}:${port}`;
}
