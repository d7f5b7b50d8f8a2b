import type { PullPolicy } from "./desired.ts";

/** The facts that decide whether an image has to be pulled before a container is made of it. */
export type PullFacts = Readonly<{
  policy: PullPolicy;
  /** A container is to be made now. */
  isWanted: boolean;
  /** A container of the wanted spec was made of the image on the device after a failed pull, and no pull has succeeded since. */
  isStale: boolean;
  /** A container of the wanted spec exists: it is made again, not changed. */
  sameSpecExists: boolean;
  /** The image is on the device. */
  isLocal: boolean;
  /** The newest pull of the app or cron_job was for the wanted spec. */
  isPulledForSpec: boolean;
  /** A container was made from that pull. */
  isUsed: boolean;
}>;

/** Whether an image has to be pulled. By default it is pulled when the spec changes, and a container of the same spec is made again from what is on the device. */
export function needsPull({ policy, isWanted, isStale, sameSpecExists, isLocal, isPulledForSpec, isUsed }: PullFacts): boolean {
  const isPulled = isLocal && isPulledForSpec;
  switch (policy) {
    case "never":
      return false;
    case "missing":
      return !isLocal;
    case "always":
      return isStale || (isWanted && !(isPulled && !isUsed));
    default:
      return isStale || (isWanted && !isPulled && !(sameSpecExists && isLocal));
  }
}

/** A fact that only the device knows is undefined. */
export type KnownPullFacts = { readonly [Fact in keyof PullFacts]: PullFacts[Fact] | undefined } & Pick<PullFacts, "policy">;

/** Whether an image has to be pulled as far as the known facts decide it: `maybe` where it depends on one that is not known. */
export function foreseenPull(facts: KnownPullFacts): "yes" | "no" | "maybe" {
  const answers = new Set(
    complete(facts, ["isWanted", "isStale", "sameSpecExists", "isLocal", "isPulledForSpec", "isUsed"]).map((all) => needsPull(all)),
  );
  if (answers.size > 1) return "maybe";
  return answers.has(true) ? "yes" : "no";
}

/** The facts with each combination of values in place of those that are not known. */
function complete(facts: KnownPullFacts, [fact, ...rest]: readonly Exclude<keyof PullFacts, "policy">[]): PullFacts[] {
  const { policy, isWanted = false, isStale = false, sameSpecExists = false, isLocal = false, isPulledForSpec = false, isUsed = false } = facts;
  if (fact === undefined) return [{ policy, isWanted, isStale, sameSpecExists, isLocal, isPulledForSpec, isUsed }];
  if (facts[fact] !== undefined) return complete(facts, rest);
  return [true, false].flatMap((value) => complete({ ...facts, [fact]: value }, rest));
}
