/** How long a stop may take, milliseconds: below the 10 s that Docker gives a container. */
const STOP_MS = 9000;

const EXIT_CODES = { SIGINT: 130, SIGTERM: 143 } as const;

/**
 * The end of a process by SIGINT or SIGTERM: the first one asks for a graceful stop, which is cut off after a while; a second one ends it at once. Handlers of
 * our own are needed for process 1 of a container, to which the kernel delivers no signal that it does not handle.
 * @returns aborted at the first signal
 */
export function onStopSignal(complain: (line: string) => void): AbortSignal {
  const asked = new AbortController();
  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    process.on(signal, () => {
      if (asked.signal.aborted) process.exit(EXIT_CODES[signal]);
      asked.abort();
      setTimeout(() => {
        complain(`the stop took longer than ${STOP_MS / 1000} s and was cut off`);
        process.exit(1);
      }, STOP_MS).unref();
    });
  }
  return asked.signal;
}

/** Resolves when the signal is aborted. */
export function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    signal.addEventListener("abort", () => resolve());
  });
}
