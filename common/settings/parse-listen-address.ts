import { isIPv6 } from "node:net";
import { type Parsed, value, wrong } from "./parsed.ts";
import type { ListenAddress } from "./settings.ts";

/** Parses `127.0.0.1:8080` or `[::1]:8080`. Port 0 lets the system choose. */
export function parseListenAddress(text: string): Parsed<ListenAddress> {
  const hint = "give host:port, as 127.0.0.1:8080, or 0.0.0.0:8080 for every interface";
  const [, bracketed, bare, digits] = /^(?:\[([^\]]+)\]|([^:\s/]+)):(\d{1,5})$/.exec(text) ?? [];
  const host = bracketed ?? bare;
  if (host === undefined || digits === undefined) return wrong(`is no address to listen on: ${hint}`);
  if (bracketed !== undefined && !isIPv6(bracketed)) return wrong(`has no IPv6 address within [ ]: ${hint}`);
  const port = Number(digits);
  return port <= 65_535 ? value({ host, port }) : wrong("has a port above 65535");
}

/** As parseListenAddress; `off` is undefined. */
export function parseListenAddressOrOff(text: string): Parsed<ListenAddress | undefined> {
  return text === "off" ? value(undefined) : parseListenAddress(text);
}

/** host:port, with [ ] around an IPv6 address. */
export function formatAddress({ host, port }: ListenAddress): string {
  return `${isIPv6(host) ? `[${host}]` : host}:${port}`;
}

/** Whether only this machine can reach the address. */
export function isLoopback(host: string): boolean {
  return host === "localhost" || host === "::1" || /^127(\.\d{1,3}){3}$/.test(host);
}

/** Whether the address stands for every interface. */
export function isUnspecified(host: string): boolean {
  return host === "0.0.0.0" || host === "::";
}
