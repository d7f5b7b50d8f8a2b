import { readFileSync } from "node:fs";

/** The machine's processor time since its start, in the kernel's ticks. */
export type ProcessorTime = Readonly<{
  whole: number;
  /** The time that the host gave to others while this machine had something to run. */
  stolen: number;
}>;

/** A share of stolen time above this makes a run's figures doubtful. */
export const DOUBTFUL_SHARE = 0.02;

/** Returns the kernel's times of all processors together (Linux). */
export function processorTime(): ProcessorTime {
  return parseProcessorTime(readFileSync("/proc/stat", "utf8"));
}

/** @param text as /proc/stat is: "cpu  user nice system idle iowait irq softirq steal guest guest_nice", where guest time is part of user time already */
export function parseProcessorTime(text: string): ProcessorTime {
  const fields = (/^cpu\s+(.+)$/m.exec(text)?.[1] ?? "").split(" ").map(Number);
  return { whole: fields.slice(0, 8).reduce((sum, ticks) => sum + ticks, 0), stolen: fields[7] ?? 0 };
}

/** Sums up the stolen time of many moments: of one subject's slices, between which others run. */
export class StolenTime {
  #whole = 0;
  #stolen = 0;
  readonly #now: () => ProcessorTime;

  constructor(now: () => ProcessorTime = processorTime) {
    this.#now = now;
  }

  /** Runs `act`, and counts what was stolen meanwhile. */
  async during<T>(act: () => Promise<T>): Promise<T> {
    const before = this.#now();
    try {
      return await act();
    } finally {
      const after = this.#now();
      this.#whole += after.whole - before.whole;
      this.#stolen += after.stolen - before.stolen;
    }
  }

  /** The share of the processors' time that was stolen, 0 to 1. */
  get share(): number {
    return this.#whole === 0 ? 0 : this.#stolen / this.#whole;
  }
}

/** A line for each run whose figures are doubtful. */
export function doubtfulRuns(runs: readonly Readonly<{ name: string; share: number }>[]): string[] {
  return runs
    .filter(({ share }) => share > DOUBTFUL_SHARE)
    .map(
      ({ name, share }) =>
        `doubtful: ${name}: the host took away ${(share * 100).toFixed(1)} % of the processor time (more than ${DOUBTFUL_SHARE * 100} %)`,
    );
}
