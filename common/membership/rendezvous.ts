import { createHash } from "node:crypto";
import type { Member } from "./membership.ts";

/**
 * Rendezvous hashing (highest random weight; Thaler and Ravishankar, "A name-based mapping scheme for rendezvous", 1996): every key ranks all members by a
 * hash of (key, the member's name), and the first ones own it. A member that leaves moves only the keys that it owned.
 */

/** The shards that own a group: the first `spread` (at least 1) of its ranking. */
export function ownersOf(group: string, members: readonly Member[], spread: number): readonly Member[] {
  return ranked([group], members).slice(0, Math.max(1, spread));
}

/** The one of a group's owners that serves this device; undefined without owners. */
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

/** The first 8 bytes of SHA-256 over the parts; a zero byte, which no name holds, ends each. */
function scoreOf(parts: readonly string[]): bigint {
  const hash = createHash("sha256");
  for (const part of parts) hash.update(part).update("\0");
  return hash.digest().readBigUInt64BE();
}
