import type { Clock } from "../clock/clock.ts";

/**
 * The device_groups that workers of the original poll, as all shards see them together: a gateway follows each of them on one shard, and any shard serves the
 * writes that warn about them. A hint: nothing here rejects, and a shard that gets no answer knows only of the groups that gateways follow on itself.
 */
export interface PolledMarks extends AsyncDisposable {
  /** Marks groups as polled for MARKED_MS. Resolves when the marks are made, or lost. */
  mark(deviceGroups: readonly string[]): Promise<void>;
  /** Whether a shard marked the group; false without an answer within 100 ms, and where no other shard marks. */
  isMarked(deviceGroup: string): Promise<boolean>;
}

/** How long a mark lasts, milliseconds: two of its renewals may be lost. */
export const MARKED_MS = 120_000;
const RENEW_MS = MARKED_MS / 3;
/** Groups that are marked at once. */
const AT_ONCE = 100;

/** The marks of a shard that is alone: it knows all that is polled. */
export function createMemoryPolledMarks(): PolledMarks {
  return { async mark() {}, isMarked: async () => false, async [Symbol.asyncDispose]() {} };
}

/** Renews the marks of the groups that are polled here, until the signal is aborted. */
export async function renewPolledMarks(
  polled: () => Iterable<string>,
  { marks, clock, signal }: { marks: Pick<PolledMarks, "mark">; clock: Clock; signal: AbortSignal },
): Promise<void> {
  while (!signal.aborted) {
    await clock.sleep(RENEW_MS, signal).catch(() => {});
    const groups = [...polled()];
    for (let from = 0; from < groups.length && !signal.aborted; from += AT_ONCE) await marks.mark(groups.slice(from, from + AT_ONCE));
  }
}
