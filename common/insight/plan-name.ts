import { type Timestamp, timestampMs } from "@bufbuild/protobuf/wkt";

/** An entity at the revision that a plan was made from. */
export type ReadRevision = Readonly<{ kind: number; name: string; revision: bigint }>;

/** The same with the time of that revision; undefined if the name was never used. */
export type ReadEntity = ReadRevision & Readonly<{ changedAt?: Timestamp | undefined }>;

/** Hexadecimal digits of the changes, and of the revisions, in the id of a plan. */
export const CHANGES_DIGITS = 4;
export const REVISIONS_DIGITS = 12;
const DIGITS = CHANGES_DIGITS + REVISIONS_DIGITS;

/** Digits of a plan's id that its name has where people read it. */
export const SHOWN_DIGITS = 8;

/**
 * The name of a plan, by which it is applied: the first digits of its id, and the time of the newest revision that it was made from, milliseconds since 1970 in
 * base 36. Equal plans have equal names, and what changes later is newer than that time.
 */
export function planName({ id, read }: Readonly<{ id: string; read: readonly ReadEntity[] }>, digits: number = DIGITS): string {
  return `${id.slice(0, digits)}-${Math.max(0, ...read.map(changedMs)).toString(36)}`;
}

/** A plan as somebody names it; `newestMs` is undefined where the name is the id alone. */
export type NamedPlan = Readonly<{ digits: string; newestMs: number | undefined }>;

/** Reads the name of a plan: its id, or at least the first 6 digits of it, with or without the time. Undefined if it is not one. */
export function parsePlanName(text: string): NamedPlan | undefined {
  const [, digits, newest] = /^([0-9a-f]{6,16})(?:-([0-9a-z]{1,9}))?$/.exec(text) ?? [];
  return digits === undefined ? undefined : { digits, newestMs: newest === undefined ? undefined : Number.parseInt(newest, 36) };
}

/**
 * The difference between the plan that was named and the plan of now: nothing; the changes themselves; or the revisions. `changed` are the entities
 * that changed since, the newest change first; empty where nobody knows which: the name has no time, or one of them is not reached any more.
 */
export type PlanDifference<E extends ReadEntity> = Readonly<{ kind: "same" } | { kind: "changes" } | { kind: "revisions"; changed: readonly E[] }>;

/** Compares a plan that was named with the one that has this id and was made from these revisions. */
export function comparePlans<E extends ReadEntity>({ digits, newestMs }: NamedPlan, id: string, read: readonly E[]): PlanDifference<E> {
  if (id.startsWith(digits)) return { kind: "same" };
  if (digits.slice(0, CHANGES_DIGITS) !== id.slice(0, CHANGES_DIGITS)) return { kind: "changes" };
  if (newestMs === undefined) return { kind: "revisions", changed: [] };
  const changed = read.filter((each) => changedMs(each) > newestMs).toSorted((a, b) => changedMs(b) - changedMs(a));
  return { kind: "revisions", changed };
}

function changedMs({ changedAt }: ReadEntity): number {
  return changedAt === undefined ? 0 : timestampMs(changedAt);
}
