import { setTimeout as delay } from "node:timers/promises";
import { Fleet } from "../client/fleet.ts";
import { sharedNow } from "../client/fleet-protocol.ts";
import { median, quantile } from "../measure/quantiles.ts";
import { StolenTime } from "../measure/stolen-time.ts";
import type { Processors } from "../processes/processors.ts";
import { type BenchManager, openManager } from "../servers/open-manager.ts";
import { createPushedApp, type PushedApp } from "../subjects/pushed-app.ts";

export type ApplyRunOptions = Readonly<{
  devices: number;
  /** Apps of the device_group; each report names all of them. */
  apps: number;
  /** Changes of each kind that count. */
  changes: number;
  /** Changes of each kind before those, after which the code of the server is compiled. */
  warmUpChanges: number;
  payloadBytes: number;
  /** How long the server has to be idle before its processor time is read, milliseconds. */
  settleMs: number;
  serverProcessors: Processors;
  fleetProcessors: Processors;
  /** Where to write a CPU profile of the changes that every device reports on; undefined: no profile. */
  profile: string | undefined;
  signal: AbortSignal;
  say: (line: string) => void;
}>;

/** Medians of the changes of one kind. Times are milliseconds since the write was asked for. */
export type ChangeFigures = Readonly<{
  lastDeviceMs: number;
  /** Until half of the devices had the config. */
  halfMs: number;
  /** Until every report was answered: its status is folded and stored by then. NaN where no device reports. */
  foldedMs: number;
  /** Processor time of the server, microseconds for each device. */
  cpuUsPerDevice: number;
  /** How long the event loop of the server was held: the longest of all changes, and 99 % of its turns. */
  heldMaxMs: number;
  heldP99Ms: number;
}>;

export type ApplyFigures = Readonly<{
  /** Processor time of the server until a device has its first config, microseconds. */
  cpuUsPerWatch: number;
  /** Devices only take the config. */
  silent: ChangeFigures;
  /** Each device reports once after it took the config. */
  reporting: ChangeFigures;
  /** The share of the processors' time that the host took away. */
  stolenShare: number;
}>;

type Change = { last: number; half: number; folded: number; cpuUs: number; heldMax: number; heldP99: number };

/** An idle server may use this share of a processor. */
const IDLE_SHARE = 0.04;
const SETTLED_AFTER_AT_MOST_MS = 20_000;
/** Devices that connect before all of them ping. */
const DEVICES_PER_SLICE = 2500;

/** One server and its fleet: changes without reports and with them take turns, so that drift of the machine meets them alike. */
export async function runApply(options: ApplyRunOptions): Promise<ApplyFigures> {
  const { devices, apps, changes, warmUpChanges, payloadBytes, serverProcessors, fleetProcessors, profile, signal, say } = options;
  await using manager = await openManager({ processors: serverProcessors, signal });
  const app = await createPushedApp(manager, payloadBytes, "bench", apps - 1);
  await manager.enrol(app.deviceGroup, devices);
  await using fleet = new Fleet({ devices, processors: fleetProcessors, signal });
  const stolen = new StolenTime();
  const before = await idleCpuMs(manager, options);
  const target = { ...(await app.target(manager.port)), enrolled: true };
  const slices = Math.ceil(devices / DEVICES_PER_SLICE);
  for (let slice = 0; slice < slices; slice++) {
    await fleet.connectSome(target, slice, slices);
    await fleet.ping(); // a device that is silent for 30 s after its first config is taken for dead
  }
  const cpuUsPerWatch = (((await idleCpuMs(manager, options)) - before) * 1000) / devices;
  say(`${devices} devices are connected`);

  const measured = { silent: [] as Change[], reporting: [] as Change[] };
  const rounds = async (count: number, note: boolean) => {
    for (let round = 0; round < count; round++) {
      for (const kind of ["silent", "reporting"] as const) {
        const change = await stolen.during(() => makeChange({ manager, app, fleet, isReporting: kind === "reporting" }, options));
        if (note) measured[kind].push(change);
      }
    }
  };
  await rounds(warmUpChanges, false);
  await rounds(changes, true);
  const figures = { cpuUsPerWatch, silent: figuresOf(measured.silent), reporting: figuresOf(measured.reporting), stolenShare: stolen.share };
  if (profile !== undefined) await manager.profile(profile, () => rounds(1, false));
  return figures;
}

type Subject = Readonly<{ manager: BenchManager; app: PushedApp; fleet: Fleet; isReporting: boolean }>;

async function makeChange({ manager, app, fleet, isReporting }: Subject, options: ApplyRunOptions): Promise<Change> {
  let change: Omit<Change, "heldMax" | "heldP99"> | undefined;
  const held = await manager.loopDelays(async () => {
    const before = manager.figures().cpuMs;
    const { arrived, reported } = await fleet.arm(isReporting ? { reports: { apps: app.apps, revision: app.nextRevision() } } : {});
    const askedAt = sharedNow();
    await app.push();
    const at = await arrived;
    const folded = isReporting ? (await reported) - askedAt : Number.NaN;
    const cpuUs = (((await idleCpuMs(manager, options)) - before) * 1000) / options.devices;
    change = { last: quantile(at, 1) - askedAt, half: median(at) - askedAt, folded, cpuUs };
  });
  if (!isReporting) await fleet.ping(); // a device that is silent for 30 s after a push is taken for dead
  if (change === undefined) throw new Error("a change without figures");
  return { ...change, heldMax: held.maxMs, heldP99: held.p99Ms };
}

function figuresOf(changes: readonly Change[]): ChangeFigures {
  const of = (figure: keyof Change) => median(changes.map((change) => change[figure]));
  return {
    lastDeviceMs: of("last"),
    halfMs: of("half"),
    foldedMs: of("folded"),
    cpuUsPerDevice: of("cpuUs"),
    heldMaxMs: Math.max(...changes.map(({ heldMax }) => heldMax)),
    heldP99Ms: of("heldP99"),
  };
}

/** Waits until the server has been idle for a moment, 20 s at most; its processor time then, milliseconds. */
async function idleCpuMs(manager: BenchManager, { settleMs, signal }: Pick<ApplyRunOptions, "settleMs" | "signal">): Promise<number> {
  for (let waited = 0; ; waited += settleMs) {
    const before = manager.figures().cpuMs;
    await delay(settleMs, undefined, { signal });
    const after = manager.figures().cpuMs;
    if (after - before <= settleMs * IDLE_SHARE || waited >= SETTLED_AFTER_AT_MOST_MS) return after;
  }
}
