import type { ContainerRuntime, RuntimeEvent } from "./container-runtime.ts";

/** Events that arrive while `act` runs. */
export async function collectEvents(
  runtime: ContainerRuntime,
  act: (events: readonly RuntimeEvent[]) => Promise<void>,
): Promise<readonly RuntimeEvent[]> {
  const seen: RuntimeEvent[] = [];
  const done = new AbortController();
  const stream = runtime.events(done.signal);
  const reading = (async () => {
    for await (const event of stream) seen.push(event);
  })();
  try {
    await act(seen);
  } finally {
    done.abort();
    await reading;
  }
  return seen;
}
