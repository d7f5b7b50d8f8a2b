/** The longest stop that hands no devices over, milliseconds: below the 10 s that Docker gives a container. */
export const STOP_MS = 9000;

const EXIT_CODES = { SIGINT: 130, SIGTERM: 143 } as const;

/**
 * Ends a process on SIGINT or SIGTERM: the first signal starts a graceful stop, which is cut off after `limitMs`; a
 * second signal ends the process immediately. Process 1 of a container needs handlers of its own, since the kernel
 * delivers no signal to it that it does not handle.
 * @param limitMs the longest graceful stop, milliseconds
 * @returns aborted at the first signal
 */
export function onStopSignal(complain: (line: string) => void, limitMs = STOP_MS): AbortSignal {
  const asked = new AbortController();
  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    process.on(signal, () => {
      if (asked.signal.aborted) process.exit(EXIT_CODES[signal]);
      asked.abort();
      setTimeout(() => {
        complain(`the stop took longer than ${limitMs / 1000} s and was cut off`);
        process.exit(1);
      }, limitMs).unref();
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

/** How long a program that is done may take to end by itself, milliseconds. */
const END_MS = 2000;

/**
 * Ends a program that is done with an exit code: by itself, once its output is written, and after `limitMs` in any case,
 * with a line that names what a library left open.
 */
export function endProcess(code: number, complain: (line: string) => void, limitMs = END_MS): void {
  process.exitCode = code;
  setTimeout(() => {
    const open = [...new Set(process.getActiveResourcesInfo())].join(", ");
    complain(`the program is done, and ends although something is still open: ${open}`);
    process.exit();
  }, limitMs).unref();
}
