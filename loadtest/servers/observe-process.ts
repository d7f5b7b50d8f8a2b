import { writeFileSync } from "node:fs";
import { Session } from "node:inspector/promises";
import { monitorEventLoopDelay } from "node:perf_hooks";
import { setImmediate as turn } from "node:timers/promises";

/** How long the event loop of a server was held, milliseconds. */
export type LoopDelays = Readonly<{ p50Ms: number; p99Ms: number; maxMs: number; turns: number }>;

/** Between two looks of the histogram, milliseconds; each delay that it counts has this in it. */
const RESOLUTION_MS = 2;

export type ObserveCommand =
  /** Forget the delays so far. */
  | { kind: "reset-loop-delays" }
  | { kind: "loop-delays" }
  /** User and system time of the process so far, microseconds: the kernel's files count in steps of 10 ms. */
  | { kind: "cpu-time" }
  /** Give up what memory is free, so that what is left is used; answers how much of the heap, and of memory outside it, that is. */
  | { kind: "collect-garbage" }
  /** Record where processor time is spent, until the file is asked for. */
  | { kind: "start-profile" }
  | { kind: "write-profile"; file: string };

/** Creates the function of a server under measurement that answers the commands of the bench, and any other message with undefined. */
export function observeProcess(): (command: ObserveCommand) => Promise<object | undefined> {
  const histogram = monitorEventLoopDelay({ resolution: RESOLUTION_MS });
  histogram.enable();
  const session = new Session();
  const ms = (nanoseconds: number) => Math.max(0, nanoseconds / 1e6 - RESOLUTION_MS);
  return async (command) => {
    switch (command.kind) {
      case "reset-loop-delays":
        histogram.reset();
        return { kind: "loop-delays-reset" };
      case "loop-delays": {
        const delays: LoopDelays = {
          p50Ms: ms(histogram.percentile(50)),
          p99Ms: ms(histogram.percentile(99)),
          maxMs: ms(histogram.max),
          turns: histogram.count,
        };
        return { kind: "loop-delays", delays };
      }
      case "collect-garbage":
        globalThis.gc?.();
        await turn(); // what is freed by a callback goes with the second
        globalThis.gc?.();
        return { kind: "garbage-collected", heapBytes: usedMemory() };
      case "cpu-time":
        return { kind: "cpu-time-used", cpuUs: usedTime() };
      case "start-profile":
        session.connect();
        await session.post("Profiler.enable");
        await session.post("Profiler.setSamplingInterval", { interval: 500 });
        await session.post("Profiler.start");
        return { kind: "profile-started" };
      case "write-profile": {
        const { profile } = await session.post("Profiler.stop");
        session.disconnect();
        writeFileSync(command.file, JSON.stringify(profile));
        return { kind: "profile-written" };
      }
      default:
        return undefined;
    }
  };
}

function usedTime(): number {
  const { user, system } = process.cpuUsage();
  return user + system;
}

function usedMemory(): number {
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}
