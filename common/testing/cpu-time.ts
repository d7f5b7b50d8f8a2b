/**
 * Returns the cost to its thread of a piece of work that returns at once, milliseconds of a processor, to some 5: a busy
 * machine makes it no more, as it does the time that passes meanwhile.
 */
export function cpuMs(work: () => unknown): number {
  const before = process.threadCpuUsage();
  work();
  const { user, system } = process.threadCpuUsage(before);
  return (user + system) / 1000;
}
