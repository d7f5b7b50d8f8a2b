import type { Clock } from "../../../common/clock/clock.ts";
import { NebulaError } from "../../../common/errors/nebula-error.ts";

/** Reads of credentials in flight, and waiting, in one process. */
export const CREDENTIAL_READS = { inFlight: 64, waiting: 10_000 } as const;
/** A read that waited longer is refused: its caller has given up by then, milliseconds. */
const LONGEST_WAIT_MS = 5000;
/** When to come back after a refusal, milliseconds. */
const RETRY_MS = 1000;

type Waiting = Readonly<{ since: number; signal: AbortSignal | undefined; start: () => void; refuse: (error: unknown) => void }>;

/**
 * Runs one read of a credential; rejects with `unavailable` and a retry time where too many wait, or the read waited
 * too long, and with the reason of the signal where that was aborted before the read began.
 */
export type CredentialReads = <T>(read: (signal?: AbortSignal) => Promise<T>, signal?: AbortSignal) => Promise<T>;

/**
 * Bounds the reads of credentials of a process, so that a storm of unknown credentials takes neither the memory of the
 * process nor the store. Reads that wait are started in the order in which they came.
 */
export function createCredentialReads(
  clock: Pick<Clock, "monotonic">,
  {
    mostInFlight = CREDENTIAL_READS.inFlight,
    mostWaiting = CREDENTIAL_READS.waiting,
  }: Partial<Readonly<{ mostInFlight: number; mostWaiting: number }>> = {},
): CredentialReads {
  let waiting: Waiting[] = [];
  /** The first that waits: a shift of the array for each costs time in its square. */
  let first = 0;
  let inFlight = 0;

  function startNext(): void {
    inFlight--;
    for (let next = waiting[first]; next !== undefined; next = waiting[first]) {
      first++;
      if (first * 2 > waiting.length) {
        waiting = waiting.slice(first);
        first = 0;
      }
      if (next.signal?.aborted === true) {
        next.refuse(next.signal.reason); // it takes nobody's turn
        continue;
      }
      if (clock.monotonic() - next.since > LONGEST_WAIT_MS) {
        next.refuse(tooMany());
        continue;
      }
      next.start();
      return;
    }
  }

  return async (read, signal) => {
    if (inFlight >= mostInFlight) {
      if (waiting.length - first >= mostWaiting) throw tooMany();
      await new Promise<void>((resolve, reject) => {
        const start = () => {
          inFlight++;
          resolve();
        };
        waiting.push({ since: clock.monotonic(), signal, start, refuse: reject });
      });
    } else inFlight++;
    try {
      return await read(signal);
    } finally {
      startNext();
    }
  };
}

function tooMany(): NebulaError {
  return new NebulaError("unavailable", "too many credentials are being checked: call again in a moment", { retryAfterMs: RETRY_MS });
}
