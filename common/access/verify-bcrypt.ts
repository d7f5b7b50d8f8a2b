import { once } from "node:events";
import { Worker } from "node:worker_threads";
import { BCRYPT_THREAD } from "./bcrypt-thread-url.ts";

/**
 * Checks a password against a bcrypt hash in a thread: bcrypt in JavaScript takes some 400 ms of a core at cost 12, too
 * long for an event loop with very many watches. Each check starts a thread, as an imported hash is checked once and then
 * replaced. Rejects with the reason of the signal if it is aborted first.
 */
export async function verifyBcrypt(password: string, hash: string, signal?: AbortSignal): Promise<boolean> {
  signal?.throwIfAborted();
  // The thread needs none of the variables and flags of this process.
  const thread = new Worker(BCRYPT_THREAD, { workerData: { password, hash }, env: {}, execArgv: [] });
  thread.on("error", () => {}); // an error after the abort, while the thread ends, has no other listener
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
