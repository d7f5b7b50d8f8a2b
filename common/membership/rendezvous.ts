import { hash } from "node:crypto";
import type { Member } from "./membership.ts";

/**
 * Rendezvous hashing (highest random weight; Thaler and Ravishankar, "A name-based mapping scheme for rendezvous", 1996): every key ranks all members by a
 * hash of (key, name of the member), and the first ones own it. A member that leaves moves only the keys that it owned.
 */

/** The shards that own a group: the first `spread` (at least 1) of its ranking. */
export function ownersOf(group: string, members: readonly Member[], spread: number): readonly Member[] {
  return ranked([group], members).slice(0, Math.max(1, spread));
}

/** The owner of a group that serves this device; undefined without owners. */
export function ownShard(group: string, deviceId: string, owners: readonly Member[]): Member | undefined {
  return ranked([group, deviceId], owners)[0];
}

/** All members, the highest score first; members with equal scores by name. */
export function ranked(key: readonly string[], members: readonly Member[]): readonly Member[] {
  return members
    .map((member) => ({ member, score: scoreOf([...key, member.name]) }))
    .sort((a, b) => (a.score > b.score ? -1 : a.score < b.score ? 1 : a.member.name < b.member.name ? -1 : 1))
    .map(({ member }) => member);
}

/**
 * The members in the order in which they become a device's own shard, each when all before it have left.
 * @param ranking of the group, the owner first
 * @param deviceId undefined: the watch has no part in `spread`
 */
export function succession(group: string, deviceId: string | undefined, ranking: readonly Member[], spread: number): readonly Member[] {
  if (deviceId === undefined || spread <= 1) return ranking;
  const place = new Map(ranked([group, deviceId], ranking).map((member, index) => [member, index]));
  const left = [...ranking];
  const order: Member[] = [];
  while (left.length > 0) {
    const owners = left.slice(0, spread).map((member, index) => ({ index, place: place.get(member) ?? 0 }));
    const { index } = owners.reduce((first, other) => (other.place < first.place ? other : first));
    order.push(...left.splice(index, 1));
  }
  return order;
}

/** The first 8 bytes of SHA-256 over the parts; a zero byte, which no name holds, ends each. */
function scoreOf(parts: readonly string[]): bigint {
  return hash("sha256", parts.map((part) => `${part}\0`).join(""), "buffer").readBigUInt64BE();
}
