import { setTimeout as delay } from "node:timers/promises";

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
