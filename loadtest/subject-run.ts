import { setTimeout as delay } from "node:timers/promises";
import { Fleet } from "./client/fleet.ts";
import { sharedNow } from "./client/fleet-protocol.ts";
import { median, quantile } from "./measure/quantiles.ts";
import type { RunFigures } from "./measure/run-figures.ts";
import type { Processors } from "./processes/processors.ts";
import type { Subject, SubjectOptions } from "./subjects/subject.ts";

export type RunOptions = Readonly<{
  devices: number;
  pushes: number;
  /** Devices that are dropped and connect again during pushes. */
  reconnecting: number;
  /** How long the server has to be idle before its figures are read, milliseconds. */
  settleMs: number;
  fleetProcessors: Processors;
  signal: AbortSignal;
  say: (line: string) => void;
}>;

type FleetFigures = Omit<RunFigures, "beforeStuckLastDeviceMs" | "stuckLastDeviceMs" | "stuckBytesPerDevice">;

const PUSH_EVERY_MS = 200;
const PUSHES_WITH_REPORTS = 3;
/** An idle server may use this share of a processor. */
const IDLE_SHARE = 0.04;
const SETTLED_AFTER_AT_MOST_MS = 20_000;

/** One subject under the whole fleet: connects it, pushes, lets it report, reconnects a part of it during pushes. */
export async function runSubject(
  open: (options: SubjectOptions) => Promise<Subject>,
  subjectOptions: SubjectOptions,
  options: RunOptions,
): Promise<FleetFigures> {
  const { devices, pushes, reconnecting, signal, say } = options;
  await using subject = await open(subjectOptions);
  await using fleet = new Fleet({ devices, processors: options.fleetProcessors, signal });
  const settled = () => idle(subject, options);

  const before = await settled();
  const connectMs = await fleet.connect(await subject.target());
  const connected = await settled();
  await fleet.ping();
  await settled();
  say(`${subject.name}: ${devices} devices connected in ${(connectMs / 1000).toFixed(1)} s`);

  const pushed = await pushAll(subject, fleet, pushes);
  await fleet.ping();
  const after = await settled();
  say(`${subject.name}: ${pushes} pushes, last device after ${median(pushed.last).toFixed(0)} ms`);

  const reports = subject.name === "nebula" ? await pushWithReports(subject, fleet, options) : {};
  await fleet.ping();
  await settled();
  const back = await reconnectDuringPushes(subject, fleet, options);
  say(`${subject.name}: ${reconnecting} devices back after ${back.tookMs.toFixed(0)} ms`);

  return {
    connectionsPerSecond: devices / (connectMs / 1000),
    bytesPerDevice: (connected.rssBytes - before.rssBytes) / devices,
    bytesPerDeviceAfterPushes: (after.rssBytes - before.rssBytes) / devices,
    cpuUsPerWatch: ((connected.cpuMs - before.cpuMs) * 1000) / devices,
    cpuUsPerPush: (pushed.cpuMs * 1000) / (devices * pushes),
    lastDeviceMs: median(pushed.last),
    p50Ms: median(pushed.p50),
    p99Ms: median(pushed.p99),
    fleetBusyPushing: pushed.fleetBusy,
    fleetBusyReconnecting: back.fleetBusy,
    serverBusyReconnecting: back.serverBusy,
    reconnectedMs: back.tookMs,
    ...reports,
  };
}

export type Pushed = Readonly<{
  /** Per push, milliseconds from the server's answer to it until all, half and 99 % of the devices had it; `lastFromRequest` from when it was asked for. */
  last: readonly number[];
  p50: readonly number[];
  p99: readonly number[];
  lastFromRequest: readonly number[];
  /** The server's, of all pushes. */
  cpuMs: number;
  fleetBusy: number;
}>;

/** Pushes, each when all devices have the one before. */
export async function pushAll(subject: Subject, fleet: Fleet, pushes: number): Promise<Pushed> {
  const last: number[] = [];
  const p50: number[] = [];
  const p99: number[] = [];
  const lastFromRequest: number[] = [];
  const cpuMs = subject.figures().cpuMs;
  const fleetBusy = busyFrom(() => fleet.cpuMs());
  for (let i = 0; i < pushes; i++) {
    const { arrived } = await fleet.arm();
    const askedAt = sharedNow();
    const answeredAt = await subject.push();
    const at = await arrived;
    last.push(quantile(at, 1) - answeredAt);
    p50.push(quantile(at, 0.5) - answeredAt);
    p99.push(quantile(at, 0.99) - answeredAt);
    lastFromRequest.push(quantile(at, 1) - askedAt);
  }
  return { last, p50, p99, lastFromRequest, cpuMs: subject.figures().cpuMs - cpuMs, fleetBusy: fleetBusy() };
}

async function pushWithReports(subject: Subject, fleet: Fleet, { devices, say }: RunOptions): Promise<Partial<RunFigures>> {
  const last: number[] = [];
  const taken: number[] = [];
  const before = subject.figures().cpuMs;
  for (let i = 0; i < PUSHES_WITH_REPORTS; i++) {
    const { arrived, reported } = await fleet.arm({ reports: true });
    const answeredAt = await subject.push();
    const at = await arrived;
    last.push(quantile(at, 1) - answeredAt);
    taken.push((await reported) - answeredAt);
  }
  const cpuMs = subject.figures().cpuMs - before;
  say(`${subject.name}: every device reports, the last report is taken after ${median(taken).toFixed(0)} ms`);
  return { reportsLastDeviceMs: median(last), reportsAllTakenMs: median(taken), cpuUsPerReport: (cpuMs * 1000) / (devices * PUSHES_WITH_REPORTS) };
}

/** Pushes every 200 ms, whether or not the last one has reached everybody, and in the middle of it drops a part of the fleet that connects again at once; how long until all of it is back. */
export async function reconnectDuringPushes(
  subject: Pick<Subject, "figures" | "push">,
  fleet: Pick<Fleet, "cpuMs" | "reconnect">,
  { reconnecting, signal }: Pick<RunOptions, "reconnecting" | "signal">,
): Promise<{ tookMs: number; fleetBusy: number; serverBusy: number }> {
  const done = new AbortController();
  const reconnect = async () => {
    try {
      await delay(3 * PUSH_EVERY_MS, undefined, { signal });
      const fleetBusy = busyFrom(() => fleet.cpuMs());
      const serverBusy = busyFrom(() => subject.figures().cpuMs);
      const tookMs = await fleet.reconnect(reconnecting);
      return { tookMs, fleetBusy: fleetBusy(), serverBusy: serverBusy() };
    } finally {
      done.abort();
    }
  };
  const [back] = await Promise.all([reconnect(), pushEvery(subject, PUSH_EVERY_MS, AbortSignal.any([done.signal, signal]))]);
  return back;
}

async function pushEvery(subject: Pick<Subject, "push">, everyMs: number, signal: AbortSignal): Promise<void> {
  for (let due = sharedNow(); !signal.aborted; due += everyMs) {
    await subject.push();
    await delay(Math.max(0, due + everyMs - sharedNow()), undefined, { signal }).catch(() => {});
  }
}

/** The share of a processor's time that is used from now until the returned function is called. */
function busyFrom(cpuMs: () => number): () => number {
  const start = sharedNow();
  const before = cpuMs();
  return () => (cpuMs() - before) / (sharedNow() - start);
}

/** Waits until the server has been idle for a moment, 20 s at most, and answers its figures then. */
export async function idle(subject: Subject, { settleMs, signal }: Pick<RunOptions, "settleMs" | "signal">): Promise<ReturnType<Subject["figures"]>> {
  for (let waited = 0; ; waited += settleMs) {
    const before = subject.figures();
    await delay(settleMs, undefined, { signal });
    const after = subject.figures();
    if (after.cpuMs - before.cpuMs <= settleMs * IDLE_SHARE || waited >= SETTLED_AFTER_AT_MOST_MS) return after;
  }
}
