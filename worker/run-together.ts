/**
 * Runs parts until the signal is aborted, and waits for the end of all. The first one that rejects ends all, and its fault is what this rejects with.
 * @param start starts the parts; they end when the signal that it gets is aborted
 */
export async function runTogether(signal: AbortSignal, start: (signal: AbortSignal) => readonly Promise<unknown>[]): Promise<void> {
  signal.throwIfAborted();
  const fault = new AbortController();
  const onAbort = () => fault.abort(signal.reason);
  signal.addEventListener("abort", onAbort);
  try {
    await Promise.all(start(fault.signal).map((part) => part.catch((error) => fault.abort(error))));
    if (!signal.aborted) fault.signal.throwIfAborted();
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}
