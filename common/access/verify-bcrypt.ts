import { once } from "node:events";
import { Worker } from "node:worker_threads";
import { BCRYPT_THREAD } from "./bcrypt-thread-url.ts";

/**
 * Checks a password against a bcrypt hash in a thread of its own: bcrypt in JavaScript takes some 400 ms of a core at cost 12, which an event loop with very
 * many watches does not have. A thread for each check, as a carried over hash is checked once and then replaced.
 * Rejects with the signal's reason when that comes first.
 */
export async function verifyBcrypt(password: string, hash: string, signal?: AbortSignal): Promise<boolean> {
  signal?.throwIfAborted();
  // None of this process's variables and flags: the thread needs nothing of them.
  const thread = new Worker(BCRYPT_THREAD, { workerData: { password, hash }, env: {}, execArgv: [] });
  thread.on("error", () => {}); // one that comes after the signal's abort, while the thread ends, has no other listener
  try {
    const [isSame] = await once(thread, "message", signal === undefined ? {} : { signal });
    return isSame === true;
  } catch (error) {
    signal?.throwIfAborted();
    throw error;
  } finally {
    await thread.terminate();
  }
}
