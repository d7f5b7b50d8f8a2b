import { NebulaError } from "../../../common/errors/nebula-error.ts";
import { errorFromDocker } from "./errors.ts";

export type DockerCall = Readonly<{
  /** The caller's: the call ends with `cancelled` when it is aborted. */
  signal: AbortSignal;
  limitMs: number;
  /** Names the engine in messages. */
  where: string;
  /** Names the call in messages: "start container". */
  what: string;
}>;

/** Runs one call to the engine within its time limit; each of its errors is a NebulaError. */
export async function callDocker<T>({ signal, limitMs, where, what }: DockerCall, call: (signal: AbortSignal) => Promise<T>): Promise<T> {
  if (signal.aborted) throw cancelled(what, signal);
  const ended = new AbortController();
  let late = false;
  const timer = setTimeout(() => {
    late = true;
    ended.abort();
  }, limitMs);
  const onAbort = () => ended.abort();
  signal.addEventListener("abort", onAbort);
  try {
    return await call(ended.signal);
  } catch (error) {
    if (late)
      throw new NebulaError("deadline_exceeded", `${what}: the Docker Engine at ${where} did not answer within ${limitMs} ms`, { cause: error });
    if (signal.aborted) throw cancelled(what, signal);
    throw errorFromDocker(error, where);
  } finally {
    clearTimeout(timer);
    signal.removeEventListener("abort", onAbort);
  }
}

function cancelled(what: string, signal: AbortSignal): NebulaError {
  return new NebulaError("cancelled", `${what} was cancelled`, { cause: signal.reason });
}
