import type { Clock } from "../../common/clock/clock.ts";
import { NebulaError } from "../../common/errors/nebula-error.ts";
import type { ContainerRuntime, RegistryLogin } from "../runtime/container-runtime.ts";
import type { PullBytes, PullSign } from "../runtime/pull-progress.ts";

/** A pull without progress for this long is aborted, unless every layer has arrived. */
const STALLED_MS = 2 * 60_000;
/** The safety net. */
const LONGEST_MS = 24 * 60 * 60_000;

export type PullContext = Readonly<{
  runtime: ContainerRuntime;
  clock: Clock;
  /** The login for an image, read again at each pull; undefined: none. */
  login: (image: string) => Promise<RegistryLogin | undefined>;
}>;

/**
 * Pulls an image. Rejects with the reason of `abort` once that is aborted, and with `deadline_exceeded` for a pull that
 * stalled or took a day. `onBytes` is called with each line.
 */
export async function pullImage(
  image: string,
  { runtime, clock, login }: PullContext,
  abort: AbortController,
  onBytes: (bytes: PullBytes) => void,
): Promise<void> {
  const startedAt = clock.monotonic();
  let progressAt = startedAt;
  let isDownloaded = false;
  const onLine = (sign: PullSign) => {
    // Unpacking may be silent; a layer that turns up after that starts the time again.
    if (sign.isProgress || (isDownloaded && !sign.isDownloaded)) progressAt = clock.monotonic();
    isDownloaded = sign.isDownloaded;
    onBytes(sign.bytes);
  };
  const ended = new AbortController();
  const giveUp = (why: string) => abort.abort(new NebulaError("deadline_exceeded", `the pull of ${image} ${why}`));
  const watch = async () => {
    for (;;) {
      const now = clock.monotonic();
      const leftMs = startedAt + LONGEST_MS - now;
      const quietMs = isDownloaded ? 0 : now - progressAt;
      if (leftMs <= 0) return giveUp(`took longer than ${LONGEST_MS / 3_600_000} h`);
      if (quietMs >= STALLED_MS) return giveUp(`showed no progress for ${STALLED_MS / 1000} s`);
      await clock.sleep(Math.min(STALLED_MS - quietMs, leftMs), ended.signal);
    }
  };
  watch().catch(() => {}); // it rejects only when it is ended below
  try {
    await runtime.pull(image, { login: await login(image), onLine, signal: abort.signal });
  } catch (error) {
    // However the runtime puts an abort, the reason for it is known here.
    throw abort.signal.aborted ? abort.signal.reason : error;
  } finally {
    ended.abort();
  }
}
