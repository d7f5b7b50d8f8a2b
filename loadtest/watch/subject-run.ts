import { setTimeout as delay } from "node:timers/promises";
import { Fleet } from "../client/fleet.ts";
import { type FleetTarget, sharedNow } from "../client/fleet-protocol.ts";
import type { ProcessFigures } from "../measure/process-figures.ts";
import { median, quantile } from "../measure/quantiles.ts";
import type { RunFigures } from "../measure/run-figures.ts";
import { StolenTime } from "../measure/stolen-time.ts";
import type { Processors } from "../processes/processors.ts";
import type { Subject, SubjectOptions } from "../subjects/subject.ts";

export type RunOptions = Readonly<{
  devices: number;
  pushes: number;
  /** Pushes before those that count, after which the code of the server is compiled; 0 unless given. */
  warmUpPushes?: number;
  /** Devices that are dropped and connect again during pushes. */
  reconnecting: number;
  /** How long the server has to be idle before its figures are read, milliseconds. */
  settleMs: number;
  fleetProcessors: Processors;
  signal: AbortSignal;
  say: (line: string) => void;
}>;

const PUSH_EVERY_MS = 200;
const PUSHES_WITH_REPORTS = 3;
/** An idle server may use this share of a processor. */
const IDLE_SHARE = 0.04;
const SETTLED_AFTER_AT_MOST_MS = 20_000;

/** A slice of pushes, between slices of the other subjects. */
const PUSH_SLICES = 4;
/** Rounds in which devices reconnect, of which the figures are medians. */
const RECONNECT_ROUNDS = 3;
/** Fewer devices than this make no slice: the server's time is counted in steps of 10 ms. */
const LEAST_DEVICES_PER_SLICE = 500;
const MOST_CONNECT_SLICES = 8;

/**
 * Each subject under a fleet of its own: connects it, pushes, lets it report, reconnects a part of it during pushes. All are open at a time and take turns in
 * short slices, in which the others are idle: the machine's speed drifts, and slices that alternate share the drift. The figures are in the order of `opens`.
 */
export async function runSubjects(
  opens: readonly ((options: SubjectOptions) => Promise<Subject>)[],
  subjectOptions: SubjectOptions,
  options: RunOptions,
): Promise<RunFigures[]> {
  const { devices, pushes, say } = options;
  await using stack = new AsyncDisposableStack();
  const runs: SubjectRun[] = [];
  for (const open of opens) runs.push(stack.use(await SubjectRun.open(open, subjectOptions, options)));
  const inTurn = async (times: number, slice: (run: SubjectRun, index: number) => Promise<void>) => {
    for (let index = 0; index < times; index++) for (const run of runs) await run.stolen.during(() => slice(run, index));
  };
  const connectSlices = Math.max(1, Math.min(MOST_CONNECT_SLICES, Math.floor(devices / LEAST_DEVICES_PER_SLICE)));
  await inTurn(connectSlices, (run, index) => run.connect(index, connectSlices));
  for (const run of runs) say(`${run.name}: ${devices} devices connected in ${(run.connectMs / 1000).toFixed(1)} s`);
  const pushSlices = Math.min(PUSH_SLICES, pushes);
  const { warmUpPushes = 0 } = options;
  if (warmUpPushes > 0) await inTurn(1, (run) => run.warmUp(warmUpPushes));
  await inTurn(pushSlices, (run, index) => run.push(Math.floor((pushes * (index + 1)) / pushSlices) - Math.floor((pushes * index) / pushSlices)));
  for (const run of runs) say(`${run.name}: ${pushes} pushes, last device after ${median(run.pushed.last).toFixed(0)} ms`);
  await inTurn(1, (run) => run.report());
  await inTurn(RECONNECT_ROUNDS, (run) => run.reconnect());
  for (const run of runs)
    say(`${run.name}: ${options.reconnecting} devices back after ${median(run.back.map(({ tookMs }) => tookMs)).toFixed(0)} ms`);
  return runs.map((run) => run.figures());
}

type Back = Readonly<{ tookMs: number; fleetBusy: number; serverBusy: number }>;

/** One subject and its fleet; each method is a slice, after which the server is idle. */
class SubjectRun implements AsyncDisposable {
  readonly name: Subject["name"];
  readonly stolen = new StolenTime();
  readonly back: Back[] = [];
  connectMs = 0;
  pushed: Pushed = { last: [], p50: [], p99: [], lastFromRequest: [], cpuMs: 0, fleetMs: 0, tookMs: 0 };
  readonly #subject: Subject;
  readonly #fleet: Fleet;
  readonly #options: RunOptions;
  readonly #target: FleetTarget;
  readonly #rssAtFirst: number;
  #connectCpuMs = 0;
  #rssConnected = 0;
  #rssPushed = 0;
  #reports: Partial<RunFigures> = {};

  private constructor(subject: Subject, fleet: Fleet, target: FleetTarget, rssAtFirst: number, options: RunOptions) {
    this.name = subject.name;
    this.#subject = subject;
    this.#fleet = fleet;
    this.#target = target;
    this.#rssAtFirst = rssAtFirst;
    this.#options = options;
  }

  static async open(open: (options: SubjectOptions) => Promise<Subject>, subjectOptions: SubjectOptions, options: RunOptions): Promise<SubjectRun> {
    const { devices, signal, fleetProcessors } = options;
    await using opening = new AsyncDisposableStack();
    const subject = opening.use(await open(subjectOptions));
    const fleet = opening.use(new Fleet({ devices, processors: fleetProcessors, signal }));
    const { rssBytes } = await idle(subject, options);
    const run = new SubjectRun(subject, fleet, await subject.target(), rssBytes, options);
    opening.move();
    return run;
  }

  async connect(slice: number, slices: number): Promise<void> {
    const before = await this.#settled();
    this.connectMs += await this.#fleet.connectSome(this.#target, slice, slices);
    const after = await this.#settled();
    this.#connectCpuMs += after.cpuMs - before.cpuMs;
    this.#rssConnected = after.rssBytes;
    await this.#pinged(); // all that are connected: the other subjects' slices come before the next one
  }

  async warmUp(pushes: number): Promise<void> {
    await pushAll(this.#subject, this.#fleet, pushes);
    await this.#pinged();
  }

  async push(pushes: number): Promise<void> {
    const { last, p50, p99, lastFromRequest, ...times } = await pushAll(this.#subject, this.#fleet, pushes);
    const before = this.pushed;
    this.pushed = {
      last: [...before.last, ...last],
      p50: [...before.p50, ...p50],
      p99: [...before.p99, ...p99],
      lastFromRequest: [...before.lastFromRequest, ...lastFromRequest],
      cpuMs: before.cpuMs + times.cpuMs,
      fleetMs: before.fleetMs + times.fleetMs,
      tookMs: before.tookMs + times.tookMs,
    };
    this.#rssPushed = (await this.#pinged()).rssBytes;
  }

  async report(): Promise<void> {
    if (this.name !== "nebula") return;
    this.#reports = await pushWithReports(this.#subject, this.#fleet, this.#options);
    await this.#pinged();
  }

  async reconnect(): Promise<void> {
    this.back.push(await reconnectDuringPushes(this.#subject, this.#fleet, this.#options));
    await this.#pinged();
  }

  figures(): RunFigures {
    const { devices, pushes } = this.#options;
    const { last, p50, p99, cpuMs, fleetMs, tookMs } = this.pushed;
    const ofBack = (figure: keyof Back) => median(this.back.map((back) => back[figure]));
    return {
      connectionsPerSecond: devices / (this.connectMs / 1000),
      bytesPerDevice: (this.#rssConnected - this.#rssAtFirst) / devices,
      bytesPerDeviceAfterPushes: (this.#rssPushed - this.#rssAtFirst) / devices,
      cpuUsPerWatch: (this.#connectCpuMs * 1000) / devices,
      cpuUsPerPush: (cpuMs * 1000) / (devices * pushes),
      lastDeviceMs: median(last),
      p50Ms: median(p50),
      p99Ms: median(p99),
      fleetBusyPushing: fleetMs / tookMs,
      fleetBusyReconnecting: ofBack("fleetBusy"),
      serverBusyReconnecting: ofBack("serverBusy"),
      reconnectedMs: ofBack("tookMs"),
      stolenShare: this.stolen.share,
      ...this.#reports,
    };
  }

  #settled(): Promise<ProcessFigures> {
    return idle(this.#subject, this.#options);
  }

  /** Has the server hear of every device, as it has to within 30 s of a push, and waits until it is idle. */
  async #pinged(): Promise<ProcessFigures> {
    await this.#fleet.ping();
    return await this.#settled();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#fleet[Symbol.asyncDispose]();
    await this.#subject[Symbol.asyncDispose]();
  }
}

export type Pushed = Readonly<{
  /** Per push, milliseconds from the server's answer to it until all, half and 99 % of the devices had it; `lastFromRequest` from when it was asked for. */
  last: readonly number[];
  p50: readonly number[];
  p99: readonly number[];
  lastFromRequest: readonly number[];
  /** Processor time of the server and of the fleet, and how long all pushes took, milliseconds. */
  cpuMs: number;
  fleetMs: number;
  tookMs: number;
}>;

/** Pushes, each when all devices have the one before. */
export async function pushAll(subject: Subject, fleet: Fleet, pushes: number): Promise<Pushed> {
  const last: number[] = [];
  const p50: number[] = [];
  const p99: number[] = [];
  const lastFromRequest: number[] = [];
  const [cpuMs, fleetMs, begun] = [subject.figures().cpuMs, fleet.cpuMs(), sharedNow()];
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
  const times = { cpuMs: subject.figures().cpuMs - cpuMs, fleetMs: fleet.cpuMs() - fleetMs, tookMs: sharedNow() - begun };
  return { last, p50, p99, lastFromRequest, ...times };
}

async function pushWithReports(subject: Subject, fleet: Fleet, { devices, say }: RunOptions): Promise<Partial<RunFigures>> {
  const last: number[] = [];
  const taken: number[] = [];
  const before = subject.figures().cpuMs;
  for (let i = 0; i < PUSHES_WITH_REPORTS; i++) {
    const { arrived, reported } = await fleet.arm({ reports: { apps: ["bench"], revision: undefined } });
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
): Promise<Back> {
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
export async function idle(
  subject: Pick<Subject, "figures">,
  { settleMs, signal }: Pick<RunOptions, "settleMs" | "signal">,
): Promise<ReturnType<Subject["figures"]>> {
  for (let waited = 0; ; waited += settleMs) {
    const before = subject.figures();
    await delay(settleMs, undefined, { signal });
    const after = subject.figures();
    if (after.cpuMs - before.cpuMs <= settleMs * IDLE_SHARE || waited >= SETTLED_AFTER_AT_MOST_MS) return after;
  }
}
