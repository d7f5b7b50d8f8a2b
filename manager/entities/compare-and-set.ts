import type { Clock } from "../../common/clock/clock.ts";
import { NebulaError } from "../../common/errors/nebula-error.ts";

/** What is changed, and under which condition. */
export type Conditional = Readonly<{
  kind: string;
  name: string;
  /** Only at this revision. */
  ifRevision?: bigint | undefined;
  signal: AbortSignal;
}>;

/** What one try came to. `conflict`: somebody else wrote since it was read; `revision` is stored now. */
export type Attempt<T> = Readonly<{ kind: "done"; value: T } | { kind: "conflict"; revision: bigint }>;

/** Times that a change without if_revision is made anew from what another shard has just written. */
const TRIES = 8;
/** The longest wait before the second try, milliseconds; it grows with each. */
const BACK_OFF_MS = 10;

/**
 * Reads, changes and writes, anew from what is stored then where others were faster; with if_revision once.
 * Rejects with `conflict` when it is not at if_revision, or when others were faster each time.
 */
export async function compareAndSet<T>(change: Conditional, clock: Clock, attempt: () => Promise<Attempt<T>>): Promise<T> {
  const tries = change.ifRevision === undefined ? TRIES : 1;
  let found = 0n;
  for (let done = 1; done <= tries; done++) {
    change.signal.throwIfAborted();
    const outcome = await attempt();
    if (outcome.kind === "done") return outcome.value;
    found = outcome.revision;
    if (change.ifRevision !== undefined) checkRevision(change, found);
    if (done < tries) await clock.sleep(Math.random() * BACK_OFF_MS * done, change.signal);
  }
  throw new NebulaError(
    "conflict",
    `${change.kind} ${change.name} was changed by others ${tries} times meanwhile (now revision ${found}): try again`,
  );
}

/** Throws `conflict` when what is stored is not at if_revision. */
export function checkRevision({ kind, name, ifRevision }: Omit<Conditional, "signal">, revision: bigint): void {
  if (ifRevision === undefined || revision === ifRevision) return;
  throw new NebulaError("conflict", `${kind} ${name} is at revision ${revision}, not at ${ifRevision} (if_revision): read it again, then decide`);
}
