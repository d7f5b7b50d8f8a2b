import { isIPv4, isIPv6 } from "node:net";

/**
 * The address under which failed logins are counted: an IPv4 address, or the /64 of an IPv6 address, which belongs to
 * one subscriber.
 * @param peer an address, alone or with a port as gRPC writes it (`192.0.2.7:1234`, `2001:db8::1:1234`, `[2001:db8::1]:1234`)
 */
export function countedAddress(peer: string): string {
  if (!peer.includes(":")) return peer; // an IPv4 address as a socket has it, the fast path of every connection
  const mapped = /^\[?::ffff:(\d+\.\d+\.\d+\.\d+)/i.exec(peer)?.[1];
  if (mapped !== undefined) return mapped;
  const address = withoutPort(peer);
  return isIPv6(address) ? networkOf(address, 64) : address;
}

/**
 * The network that shares its turns in a queue: the /24 of an IPv4 address, the /48 of an IPv6 address.
 * @param peer as for `countedAddress`
 */
export function countedNetwork(peer: string): string {
  const counted = countedAddress(peer);
  if (isIPv4(counted)) return `${counted.slice(0, counted.lastIndexOf("."))}.0/24`;
  const address = withoutPort(peer);
  return isIPv6(address) ? networkOf(address, 48) : counted;
}

/** The address of a peer, without the port that gRPC writes behind it. */
export function withoutPort(peer: string): string {
  const bracketed = /^\[(.*)\](?::\d+)?$/.exec(peer)?.[1];
  if (bracketed !== undefined) return bracketed;
  const before = peer.slice(0, Math.max(0, peer.lastIndexOf(":")));
  // gRPC writes no brackets: a text that is an address without its last group has a port, unless it is a whole address
  return isIPv4(before) || (isIPv6(before) && peer.split(":").length !== 8) ? before : peer;
}

function networkOf(address: string, bits: 48 | 64): string {
  const [head = "", tail] = address.split("%", 1).join("").split("::");
  const before = head === "" ? [] : head.split(":");
  const after = tail === undefined || tail === "" ? [] : tail.split(":");
  const zeros = tail === undefined ? [] : new Array<string>(Math.max(0, 8 - before.length - after.length)).fill("0");
  const groups = [...before, ...zeros, ...after].slice(0, bits / 16).map((group) => Number.parseInt(group, 16).toString(16));
  return `${groups.join(":")}::/${bits}`;
}
