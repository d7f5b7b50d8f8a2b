/** Addresses on which a device publishes ports. Pure, and without Node: the dashboard reads and prints apps, too. */

/** Addresses that stand for every address of a machine. A port that is published without an address is published on all. */
const EVERY: ReadonlySet<string> = new Set(["", "0.0.0.0", "::"]);

/** One of the four numbers of an IPv4 address; a leading zero could mean octal. */
const BYTE = /^(?:0|[1-9]\d?|1\d\d|2[0-4]\d|25[0-5])$/;
const GROUP = /^[0-9a-f]{1,4}$/i;
/** Groups of 16 bits in an IPv6 address. */
const GROUPS = 8;

/** The canonical notation of an IPv4 or IPv6 address (RFC 5952), without brackets; undefined if the text is not an address, or has a zone. */
export function canonicalAddress(text: string): string | undefined {
  if (ipv4Bytes(text) !== undefined) return text;
  const groups = ipv6Groups(text);
  return groups === undefined ? undefined : ipv6Text(groups);
}

function ipv4Bytes(text: string): readonly number[] | undefined {
  const parts = text.split(".");
  return parts.length === 4 && parts.every((part) => BYTE.test(part)) ? parts.map(Number) : undefined;
}

/** The groups of an IPv6 address; undefined if the text is not one. */
function ipv6Groups(text: string): readonly number[] | undefined {
  const [head = "", tail, ...more] = text.split("::");
  if (more.length > 0) return undefined;
  const [before, after] = [groupsOf(head, tail === undefined), groupsOf(tail ?? "", true)];
  if (before === undefined || after === undefined) return undefined;
  const missing = GROUPS - before.length - after.length;
  if (tail === undefined ? missing !== 0 : missing < 1) return undefined;
  return [...before, ...Array<number>(missing).fill(0), ...after];
}

/** @param mayEndDotted whether the last four bytes may be written as an IPv4 address */
function groupsOf(text: string, mayEndDotted: boolean): readonly number[] | undefined {
  if (text === "") return [];
  const parts = text.split(":");
  const last = parts.at(-1) ?? "";
  const dotted = mayEndDotted ? ipv4Bytes(last) : undefined;
  const words = dotted === undefined ? parts : parts.slice(0, -1);
  if (!words.every((word) => GROUP.test(word))) return undefined;
  const [a = 0, b = 0, c = 0, d = 0] = dotted ?? [];
  return [...words.map((word) => Number.parseInt(word, 16)), ...(dotted === undefined ? [] : [a * 256 + b, c * 256 + d])];
}

/** The longest run of zeros, the first of equals, is `::`; an address that contains one of IPv4 ends in it, as inet_ntop writes it. */
function ipv6Text(groups: readonly number[]): string {
  const run = longestZeros(groups);
  const [, , , , , mark, high = 0, low = 0] = groups;
  const containsIpv4 = run.first === 0 && (run.length === 6 || (run.length === 5 && mark === 0xffff));
  const words = groups.map((group) => group.toString(16));
  if (containsIpv4) words.splice(6, 2, [high >> 8, high & 255, low >> 8, low & 255].join("."));
  if (run.length < 2) return words.join(":");
  return `${words.slice(0, run.first).join(":")}::${words.slice(run.first + run.length).join(":")}`;
}

function longestZeros(groups: readonly number[]): Readonly<{ first: number; length: number }> {
  let [longest, length] = [{ first: 0, length: 0 }, 0];
  for (const [index, group] of groups.entries()) {
    length = group === 0 ? length + 1 : 0;
    if (length > longest.length) longest = { first: index + 1 - length, length };
  }
  return longest;
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
