/** Values that the summaries of many devices have in common, held once: a mirror of a large device_group takes very many summaries. */
import type { DeviceSummary, TargetSummary } from "../../gen/nebula/v1/device_pb.ts";

/** Values of a kind that are held, each in the slot that follows from it: the newest one of a slot is kept. */
const SLOTS = 1024;
/** Bytes of a value that is held, at most. */
const LONGEST = 64;

const texts: string[] = new Array(SLOTS).fill("");
const numbers: bigint[] = new Array(SLOTS).fill(0n);
/** Each in a list of its own, which is the one of the targets with this image alone. */
const byteLists: ([Uint8Array] | undefined)[] = new Array(SLOTS).fill(undefined);

const NO_TEXTS: string[] = [];
const NO_BYTES: Uint8Array[] = [];
const NO_TARGETS: TargetSummary[] = [];
for (const list of [NO_TEXTS, NO_BYTES, NO_TARGETS]) Object.freeze(list);

/**
 * Replaces values of a summary that was just made by those of other summaries, and returns it, without the fields of a newer release: these are views of the
 * bytes that were read, a page of rows or an announcement, which would be held with it. Neither it nor its lists may be changed after that.
 */
export function withSharedValues(summary: DeviceSummary): DeviceSummary {
  summary.seq = sharedNumber(summary.seq);
  summary.groupRevision = sharedNumber(summary.groupRevision);
  summary.pruneId = sharedNumber(summary.pruneId);
  summary.repairs = sharedNumber(summary.repairs);
  if (summary.problems.length === 0) summary.problems = NO_TEXTS;
  summary.targets = summary.targets.length === 0 ? NO_TARGETS : summary.targets.slice(); // a list that grew has room for 17 items
  if (summary.$unknown !== undefined) delete summary.$unknown;
  for (const target of summary.targets) {
    if (target.$unknown !== undefined) delete target.$unknown;
    target.revision = sharedNumber(target.revision);
    target.appliedRevision = sharedNumber(target.appliedRevision);
    target.imageIds = sharedImages(target.imageIds);
  }
  return summary;
}

function sharedImages(ids: readonly Uint8Array[]): Uint8Array[] {
  const [only] = ids;
  if (only === undefined) return NO_BYTES;
  return ids.length === 1 ? sharedBytes(only) : ids.map((id) => sharedBytes(id)[0]);
}

/** Returns a text that many rows have in common, held once: the boot of a shard, a version of a worker. */
export function sharedText(text: string): string {
  if (text.length > LONGEST) return text;
  const slot = (text.length * 31 + (text.codePointAt(0) ?? 0) * 7 + (text.codePointAt(text.length - 1) ?? 0)) % SLOTS;
  const known = texts[slot];
  if (known === text) return known;
  texts[slot] = text;
  return text;
}

function sharedNumber(value: bigint): bigint {
  const slot = Number(value) % SLOTS;
  const known = numbers[slot];
  if (known === value) return known;
  numbers[slot] = value;
  return value;
}

/** Returns these bytes, not as a view of others, in a list. */
function sharedBytes(bytes: Uint8Array): [Uint8Array] {
  let hash = 0;
  for (const byte of bytes) hash = (Math.imul(hash, 31) + byte) | 0;
  const slot = hash & (SLOTS - 1);
  const known = byteLists[slot];
  if (known !== undefined && areSame(known[0], bytes)) return known;
  const copy: [Uint8Array] = [new Uint8Array(bytes)];
  Object.freeze(copy);
  if (bytes.length <= LONGEST) byteLists[slot] = copy;
  return copy;
}

function areSame(one: Uint8Array, other: Uint8Array): boolean {
  if (one.length !== other.length) return false;
  for (let at = 0; at < one.length; at++) if (one[at] !== other[at]) return false;
  return true;
}
