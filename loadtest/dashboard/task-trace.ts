import type { Browser } from "playwright-core";

type TraceEvent = Readonly<{
  name: string;
  pid: number;
  tid: number;
  /** Processor time, microseconds. */
  tdur?: number;
  args?: Readonly<{ name?: string }>;
}>;

/** The processor time of the longest task of any page of a browser during an act, milliseconds: what others on the same processors take is not in it. */
export async function longestTaskCpuMs(browser: Browser, act: () => Promise<void>): Promise<number> {
  await browser.startTracing(undefined, { categories: ["toplevel", "disabled-by-default-devtools.timeline"] });
  let trace: Buffer | undefined;
  try {
    await act();
  } finally {
    trace = await browser.stopTracing();
  }
  return longestTaskIn(trace.toString("utf8"));
}

/** @param trace as Chromium writes it; 0 where it has no task */
export function longestTaskIn(trace: string): number {
  const { traceEvents }: { traceEvents: readonly TraceEvent[] } = JSON.parse(trace);
  const threadOf = ({ pid, tid }: TraceEvent) => `${pid}/${tid}`;
  const ofPages = new Set(traceEvents.filter(({ name, args }) => name === "thread_name" && args?.name === "CrRendererMain").map(threadOf));
  const tasks = traceEvents.filter((event) => event.name === "RunTask" && ofPages.has(threadOf(event)));
  return tasks.reduce((longest, { tdur = 0 }) => Math.max(longest, tdur / 1000), 0);
}
