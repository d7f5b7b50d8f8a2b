import { readFile, statfs } from "node:fs/promises";
import { cpus, freemem, totalmem, uptime } from "node:os";
import { create } from "@bufbuild/protobuf";
import { type HostStatus, HostStatusSchema } from "../../gen/nebula/v1/report_pb.ts";
import type { EngineInfo } from "../runtime/container-runtime.ts";

/** CPU time of all cores since the start of the machine, milliseconds. */
export type CpuTimes = Readonly<{ busyMs: number; idleMs: number }>;

export type MemoryFigures = Readonly<{ totalBytes: number; availableBytes: number }>;

/** Measures the machine; CPU is what was used since the last measure. */
export class HostFigures {
  #earlier = cpuTimes(cpus());
  #usedPercent = 0;

  /** The figures now. Never rejects: what can't be measured is 0. */
  async measure(engine: EngineInfo): Promise<HostStatus> {
    const [memory, disk] = await Promise.all([memoryFigures(), diskFigures(engineDisk(engine))]);
    return create(HostStatusSchema, {
      hostname: engine.hostname,
      cpuCores: engine.cores,
      cpuUsedPercent: this.#cpuUsedPercent(),
      memoryTotalBytes: BigInt(memory.totalBytes),
      memoryAvailableBytes: BigInt(memory.availableBytes),
      diskTotalBytes: disk.totalBytes,
      diskFreeBytes: disk.freeBytes,
      engineVersion: engine.engineVersion,
      os: engine.os,
      arch: engine.arch,
      uptimeSeconds: BigInt(Math.floor(uptime())),
    });
  }

  /** Two measures within one tick of the clock: the figure before. */
  #cpuUsedPercent(): number {
    const now = cpuTimes(cpus());
    const used = usedPercent(this.#earlier, now);
    if (used !== undefined) {
      this.#usedPercent = used;
      this.#earlier = now;
    }
    return this.#usedPercent;
  }
}

export function cpuTimes(cores: readonly Readonly<{ times: Readonly<Record<string, number>> }>[]): CpuTimes {
  let [busyMs, idleMs] = [0, 0];
  for (const { times } of cores) {
    for (const [kind, ms] of Object.entries(times)) {
      if (kind === "idle") idleMs += ms;
      else busyMs += ms;
    }
  }
  return { busyMs, idleMs };
}

/** Percent of all cores that was used between two readings; undefined when no time has passed. A core that was switched off never makes it leave 0 to 100. */
export function usedPercent(earlier: CpuTimes, now: CpuTimes): number | undefined {
  const busy = Math.max(0, now.busyMs - earlier.busyMs);
  const idle = Math.max(0, now.idleMs - earlier.idleMs);
  return busy + idle > 0 ? (busy / (busy + idle)) * 100 : undefined;
}

/** Linux's own estimate of what is available, caches included; elsewhere what is free. */
async function memoryFigures(): Promise<MemoryFigures> {
  const text = await readFile("/proc/meminfo", "utf8").catch(() => "");
  return parseMeminfo(text) ?? { totalBytes: totalmem(), availableBytes: freemem() };
}

/** The figures of /proc/meminfo; undefined when it does not hold them. */
export function parseMeminfo(text: string): MemoryFigures | undefined {
  const bytesOf = (name: string) => {
    const [, kilobytes] = new RegExp(`^${name}:\\s+(\\d+) kB$`, "m").exec(text) ?? [];
    return kilobytes === undefined ? undefined : Number(kilobytes) * 1024;
  };
  const [totalBytes, availableBytes] = [bytesOf("MemTotal"), bytesOf("MemAvailable")];
  return totalBytes === undefined || availableBytes === undefined ? undefined : { totalBytes, availableBytes };
}

/** A path on the disk that the engine fills. A worker in a container has its own `/` there. */
function engineDisk({ ownContainerId, rootDir }: EngineInfo): string {
  return ownContainerId === undefined ? (rootDir ?? "/") : "/";
}

async function diskFigures(path: string): Promise<Readonly<{ totalBytes: bigint; freeBytes: bigint }>> {
  try {
    const { bsize, blocks, bavail } = await statfs(path, { bigint: true });
    return { totalBytes: bsize * blocks, freeBytes: bsize * bavail };
  } catch {
    return { totalBytes: 0n, freeBytes: 0n };
  }
}
