import { NebulaError } from "../../common/errors/nebula-error.ts";

/**
 * Runs parts until the signal is aborted, and waits for the end of all. No part ends alone: the first one that rejects,
 * or that returns before the signal is aborted, ends all, and this rejects with its fault.
 * @param start starts the parts, by name; they end when the signal that it gets is aborted
 */
export async function runTogether(signal: AbortSignal, start: (signal: AbortSignal) => Readonly<Record<string, Promise<unknown>>>): Promise<void> {
  signal.throwIfAborted();
  const fault = new AbortController();
  const untilEnd = async ([name, part]: [string, Promise<unknown>]) => {
    try {
      await part;
      fault.abort(new NebulaError("internal", `${name} ended before the worker was stopped`));
    } catch (error) {
      fault.abort(error);
    }
  };
  await Promise.all(Object.entries(start(AbortSignal.any([signal, fault.signal]))).map(untilEnd));
  if (!signal.aborted) fault.signal.throwIfAborted();
}
