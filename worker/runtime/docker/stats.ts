import type { ContainerStats } from "../container-runtime.ts";
import { type Json, numberOf, recordOf, timeOf } from "../json.ts";

/** CPU time that a container had used at a time. */
export type CpuSample = Readonly<{ atMs: number; usedNanoseconds: number }>;

/** The sample in an answer of `/containers/ID/stats`; undefined when the container does not run. */
export function cpuSample(answer: unknown): CpuSample | undefined {
  const item = recordOf(answer);
  return sampleOf(item.read, item.cpu_stats);
}

/** The earlier sample that the engine took itself when it was asked for two. */
export function earlierCpuSample(answer: unknown): CpuSample | undefined {
  const item = recordOf(answer);
  return sampleOf(item.preread, item.precpu_stats);
}

function sampleOf(read: unknown, stats: unknown): CpuSample | undefined {
  const atMs = timeOf(read);
  return atMs === undefined ? undefined : { atMs, usedNanoseconds: numberOf(recordOf(recordOf(stats).cpu_usage).total_usage) };
}

/** Memory in use, without the file cache that the kernel can take back, and CPU between two samples in percent of one core. */
export function statsOf(answer: unknown, earlier: CpuSample | undefined): ContainerStats {
  const now = cpuSample(answer);
  return { memoryBytes: memoryOf(recordOf(recordOf(answer).memory_stats)), cpuPercent: now && earlier ? cpuPercent(earlier, now) : 0 };
}

function cpuPercent(earlier: CpuSample, now: CpuSample): number {
  const elapsedNanoseconds = (now.atMs - earlier.atMs) * 1_000_000;
  const used = now.usedNanoseconds - earlier.usedNanoseconds;
  return elapsedNanoseconds > 0 && used > 0 ? (used / elapsedNanoseconds) * 100 : 0;
}

/** cgroup v1 calls the reclaimable cache total_inactive_file, v2 inactive_file. */
function memoryOf(memory: Json): number {
  const stats = recordOf(memory.stats);
  const cache = numberOf(stats.total_inactive_file) || numberOf(stats.inactive_file);
  return Math.max(0, numberOf(memory.usage) - cache);
}
