/** Each problem that a device can have as a whole; docs/worker.md explains each, and a test compares. */
export const PROBLEM_CODES = [
  "engine_unreachable",
  "events_unavailable",
  "second_worker",
  "foreign_cluster",
  "cluster_changed",
  "older_epoch",
  "no_such_group",
  "state_not_saved",
  "prune_failed",
] as const;

export type ProblemCode = (typeof PROBLEM_CODES)[number];

/** The problem that the server notices about a device, beside those that the device reports: two workers report under one id. */
export const DUPLICATE_ID = "duplicate_id";

/** Others only have to be known. */
const BLOCKING: ReadonlySet<string> = new Set<ProblemCode>(["second_worker", "engine_unreachable", "older_epoch"]);

/** Whether a problem keeps the device from following its config. One that a newer worker reports does not, as far as is known. */
export function isBlocking(code: string): boolean {
  return BLOCKING.has(code);
}

/** A problem that there is advice for: one of those that a device reports, or that the server notices. */
export type KnownProblem = ProblemCode | typeof DUPLICATE_ID;

const KNOWN: readonly KnownProblem[] = [...PROBLEM_CODES, DUPLICATE_ID];

/** The code as one of the closed set; undefined for one of a newer worker. */
export function knownProblem(code: string): KnownProblem | undefined {
  return KNOWN.find((known) => known === code);
}
