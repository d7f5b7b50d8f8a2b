import { createHash } from "node:crypto";

/** An entity at the revision that a plan was made from. */
export type ReadEntity = Readonly<{ kind: number; name: string; revision: bigint }>;

/** Hexadecimal digits of the changes, and of the revisions, in the id of a plan. */
const CHANGES_DIGITS = 4;
const REVISIONS_DIGITS = 12;
/** Digits of a plan's id that name it. */
const FEWEST_DIGITS = 6;
/** How far back a single entity is looked for that changed since a plan was made. */
const REVISIONS_BACK = 1000n;

/** The id of a plan: 4 hexadecimal digits of its changes, 12 of the revisions that it was made from. */
export function planId(changes: readonly Uint8Array[], read: readonly ReadEntity[]): string {
  const hash = createHash("sha256");
  for (const change of changes) hash.update(`${change.length}:`).update(change);
  return hash.digest("hex").slice(0, CHANGES_DIGITS) + revisionsPart(read);
}

function revisionsPart(read: readonly ReadEntity[]): string {
  const text = JSON.stringify(read.map(({ kind, name, revision }) => [kind, name, String(revision)]));
  return createHash("sha256").update(text).digest("hex").slice(0, REVISIONS_DIGITS);
}

/** Whether a text can name a plan: its id, or at least the first 6 digits of it. */
export function isPlanName(text: string): boolean {
  return /^[0-9a-f]+$/.test(text) && text.length >= FEWEST_DIGITS && text.length <= CHANGES_DIGITS + REVISIONS_DIGITS;
}

/**
 * What differs between the plan that was named and the plan of now: nothing; the changes themselves; one entity, which was at an older revision; or more than
 * that, which the id does not tell.
 */
export type PlanDifference = Readonly<
  { kind: "same" } | { kind: "changes" } | { kind: "entity"; entity: ReadEntity; revision: bigint } | { kind: "revisions" }
>;

/** Compares the plan that `name` names with the one that has this id and was made from these revisions. */
export function comparePlans(name: string, id: string, read: readonly ReadEntity[]): PlanDifference {
  if (id.startsWith(name)) return { kind: "same" };
  if (name.slice(0, CHANGES_DIGITS) !== id.slice(0, CHANGES_DIGITS)) return { kind: "changes" };
  const wanted = name.slice(CHANGES_DIGITS);
  for (const [index, entity] of read.entries()) {
    for (let back = 1n; back <= REVISIONS_BACK && back <= entity.revision && wanted.length > 4; back++) {
      const revision = entity.revision - back;
      if (revisionsPart(read.with(index, { ...entity, revision })).startsWith(wanted)) return { kind: "entity", entity, revision };
    }
  }
  return { kind: "revisions" };
}
