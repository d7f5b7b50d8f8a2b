import { BlockList, isIP, isIPv4, isIPv6 } from "node:net";
import { canonicalAddress } from "./published-address.ts";

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
