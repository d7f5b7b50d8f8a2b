/** The servers that bench:watch measures. */
export const SUBJECT_NAMES = ["nebula", "http2", "nats"] as const;
export type WatchSubjectName = (typeof SUBJECT_NAMES)[number];

/** Those, and the two servers of bench:shards. */
export type SubjectName = WatchSubjectName | "embedded" | "shards";

/** Figures of one run of one subject. Times are milliseconds, sizes bytes; CPU is the server's, microseconds, unless it says fleet. */
export type RunFigures = Readonly<{
  connectionsPerSecond: number;
  bytesPerDevice: number;
  bytesPerDeviceAfterPushes: number;
  cpuUsPerWatch: number;
  cpuUsPerPush: number;
  /** From the answer to the change until the devices have it. */
  lastDeviceMs: number;
  p50Ms: number;
  p99Ms: number;
  /** Share of a processor's time that the fleet used during pushes, and during the reconnects: near 1 it is the fleet that is measured. */
  fleetBusyPushing: number;
  fleetBusyReconnecting: number;
  /** The same of the server: well below 1 the machine did something else meanwhile. */
  serverBusyReconnecting: number;
  reconnectedMs: number;
  /** The share of the processors' time that the host took away during the subject's slices. */
  stolenShare: number;
  /** A small fleet, large pushes: from asking for a push until the last of the devices that read has it, before others stop reading and while they do; what the server's memory grew by for each of those. */
  beforeStuckLastDeviceMs?: number;
  stuckLastDeviceMs?: number;
  stuckBytesPerDevice?: number;
  /** With a report of every device after each push (Nebula alone). */
  reportsLastDeviceMs?: number;
  reportsAllTakenMs?: number;
  cpuUsPerReport?: number;
}>;

export type FigureName = keyof RunFigures;

export type Run = Readonly<{ subject: SubjectName; figures: RunFigures }>;
