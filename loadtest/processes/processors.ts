import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";

/** Processors as `taskset -c` takes them: "0", "1-3"; undefined: any. */
export type Processors = string | undefined;

/** One processor for the server under measurement, the others for the fleet and the bench itself; all undefined on a machine with a single one. */
export function splitProcessors(allowed: readonly number[] = allowedProcessors()): { server: Processors; fleet: Processors } {
  const [first, ...others] = allowed;
  if (first === undefined || others.length === 0) return { server: undefined, fleet: undefined };
  return { server: String(first), fleet: others.join(",") };
}

/** Keeps this process, all of its threads, on these processors. */
export function stayOn(processors: Processors): void {
  if (processors !== undefined) spawnSync("taskset", ["-acp", processors, String(process.pid)]);
}

/** Numbers of the processors that this process may use, as the kernel lists them (Linux). */
function allowedProcessors(): number[] {
  const list = /^Cpus_allowed_list:\s+(\S+)/m.exec(readFileSync("/proc/self/status", "utf8"))?.[1] ?? "";
  return parseProcessorList(list);
}

/** "0-2,5" is 0, 1, 2, 5. */
export function parseProcessorList(list: string): number[] {
  return list.split(",").flatMap((range) => {
    const [from, to = from] = range.split("-").map(Number);
    if (range === "" || from === undefined || to === undefined) return [];
    return Array.from({ length: to - from + 1 }, (_, i) => from + i);
  });
}
