import { readFileSync } from "node:fs";

/** Kernel ticks per second in /proc/PID/stat: USER_HZ, 100 on every Linux that Node runs on. */
const TICKS_PER_SECOND = 100;

export type ProcessFigures = Readonly<{
  /** Resident memory, bytes. */
  rssBytes: number;
  /** User and system time of all threads since the start, milliseconds (in steps of 10). */
  cpuMs: number;
}>;

/** Returns the kernel's figures of a process (Linux). */
export function processFigures(pid: number): ProcessFigures {
  const status = readFileSync(`/proc/${pid}/status`, "utf8");
  const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
  const rss = /^VmRSS:\s+(\d+) kB/m.exec(status)?.[1];
  // the name (field 2) is in brackets and may hold anything; utime and stime are fields 14 and 15
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return { rssBytes: Number(rss) * 1024, cpuMs: ((Number(fields[11]) + Number(fields[12])) * 1000) / TICKS_PER_SECOND };
}
