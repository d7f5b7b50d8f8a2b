import { randomBytes } from "node:crypto";
import { hostname } from "node:os";
import type { Clock } from "../../../../common/clock/clock.ts";
import { endedWithin } from "../../../../common/ended-within.ts";
import { messageOf, NebulaError } from "../../../../common/errors/nebula-error.ts";
import type { Log } from "../../../../common/log/log.ts";
import type { ConfigStore } from "../../../../common/storage/config-store.ts";

/**
 * The marks of components that run on a store, by which commands that need the store for themselves find them.
 *
 * M1 A component marks itself before it serves anything, and again every MARK_EVERY_MS; a mark that is not renewed ends after MARK_SECONDS. So one that was
 *    killed counts for that time, and one that cannot reach the store for longer counts for nothing: it can write nothing either.
 * M2 A command looks before its work, and once more before its last step: a component that was started between the two is found by the second look.
 */

const MARK_EVERY_MS = 10_000;
export const MARK_SECONDS = 30;
/** How long the end of a component waits for the removal of its mark, milliseconds. */
const REMOVE_MS = 1000;

type Marks = Pick<ConfigStore, "markRunning" | "runningComponents">;

/** Keeps a component marked until it is disposed. Resolves after the first mark, or where that failed: it is tried again. */
export async function keepMarked(store: Marks, part: string, { clock, log }: Readonly<{ clock: Clock; log: Log }>): Promise<AsyncDisposable> {
  const mark = { id: randomBytes(8).toString("hex"), component: `${part} on ${hostname()} (process ${process.pid})` };
  const ended = new AbortController();
  const { signal } = ended;
  const attempt = async () => {
    try {
      await store.markRunning(mark, MARK_SECONDS, signal);
    } catch (error) {
      if (!signal.aborted) log.warn({ error: messageOf(error) }, "the store does not take the mark that this component runs; it is sent again");
    }
  };
  await attempt(); // M1
  const renewing = (async () => {
    while (!signal.aborted) {
      await clock.sleep(MARK_EVERY_MS, signal).catch(() => {});
      if (!signal.aborted) await attempt();
    }
  })();
  return {
    async [Symbol.asyncDispose]() {
      ended.abort();
      await renewing;
      await endedWithin(store.markRunning(mark, 0), REMOVE_MS).catch(() => {}); // it ends by itself
    },
  };
}

/**
 * Resolves where no component is marked (M2).
 * @throws NebulaError failed_precondition naming those that are
 */
export async function assertNothingRuns(store: Pick<Marks, "runningComponents">, signal: AbortSignal): Promise<void> {
  const running = await store.runningComponents(signal);
  if (running.length === 0) return;
  throw new NebulaError(
    "failed_precondition",
    `components run on this store (${running.join(", ")}): stop each of them, then run the command again; one that was killed counts for ${MARK_SECONDS} s`,
  );
}
