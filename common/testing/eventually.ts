import { setTimeout as delay } from "node:timers/promises";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

/** Waits until the check neither throws nor answers false, looking every `everyMs`, and answers its value; rejects with its last failure after `timeoutMs`. */
export async function eventually<T>(check: () => T | Promise<T>, { timeoutMs = 10_000, everyMs = 25 } = {}): Promise<Exclude<T, false>> {
  const end = performance.now() + timeoutMs;
  for (;;) {
    let failure: unknown = new Error("the condition did not come to hold");
    try {
      const value: T = await check();
      if (isNotFalse(value)) return value;
    } catch (error) {
      failure = error;
    }
    if (performance.now() >= end) throw new Error(`not within ${timeoutMs} ms`, { cause: failure });
    await delay(everyMs);
  }
}

function isNotFalse<T>(value: T): value is Exclude<T, false> {
  return value !== false;
}

/**
 * Waits until nothing is left of what is counted: for as long as there becomes less of it, however slow the machine is. Rejects when it became no less for
 * `stillMs`, with the last failure of the count where one failed.
 */
export async function untilNone(
  countLeft: () => number | Promise<number>,
  { stillMs, everyMs }: Readonly<{ stillMs: number; everyMs: number }>,
): Promise<void> {
  let least = Number.POSITIVE_INFINITY;
  let lessAt = performance.now();
  let cause: unknown;
  for (;;) {
    try {
      const left = await countLeft();
      if (left === 0) return;
      if (left < least) {
        least = left;
        lessAt = performance.now();
      }
      cause = undefined;
    } catch (error) {
      cause = error;
    }
    if (performance.now() - lessAt >= stillMs) throw new Error(`${least} are left, and no fewer for ${stillMs} ms`, { cause });
    await delay(everyMs);
  }
}

/** Collects garbage until none of these is left. */
export async function eventuallyCollected(held: readonly WeakRef<object>[]): Promise<void> {
  setFlagsFromString("--expose-gc");
  const collectGarbage: unknown = runInNewContext("gc");
  if (typeof collectGarbage !== "function") throw new Error("this engine has no gc()");
  await eventually(() => {
    collectGarbage();
    return held.every((each) => each.deref() === undefined);
  });
}
