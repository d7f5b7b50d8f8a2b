import { setTimeout as delay } from "node:timers/promises";
import { Fleet } from "../client/fleet.ts";
import type { Processors } from "../processes/processors.ts";
import { type BenchManager, openManager } from "../servers/open-manager.ts";
import { createPushedApp, type PushedApp } from "../subjects/pushed-app.ts";

export type FleetOptions = Readonly<{
  devices: number;
  /** Apps of the device_group; each report names all of them. */
  apps: number;
  payloadBytes: number;
  /** Devices report on the streams of their watches, in place of calls of their own. */
  reportsOnWatch: boolean;
  /** How long the server has to be idle before its processor time is read, milliseconds. */
  settleMs: number;
  serverProcessors: Processors;
  fleetProcessors: Processors;
  signal: AbortSignal;
}>;

/** A server of its own, and devices that watch it. */
export type ConnectedFleet = AsyncDisposable &
  Readonly<{
    manager: BenchManager;
    app: PushedApp;
    fleet: Fleet;
    /** Processor time of the server until a device has its first config, and its presence is stored, microseconds. */
    cpuUsPerWatch: number;
  }>;

/** An idle server may use this share of a processor. */
const IDLE_SHARE = 0.04;
const SETTLED_AFTER_AT_MOST_MS = 20_000;
/** Devices that connect before all of them ping. */
const DEVICES_PER_SLICE = 2500;

/** @param presence whether the server writes which devices are connected */
export async function connectFleet(options: FleetOptions, presence: boolean): Promise<ConnectedFleet> {
  const { devices, apps, payloadBytes, serverProcessors, fleetProcessors, signal } = options;
  await using opening = new AsyncDisposableStack();
  const manager = opening.use(await openManager({ processors: serverProcessors, signal, presence }));
  const app = await createPushedApp(manager, payloadBytes, "bench", apps - 1);
  await manager.enrol(app.deviceGroup, devices);
  const fleet = opening.use(new Fleet({ devices, processors: fleetProcessors, signal }));
  const before = await idleCpuUs(manager, options);
  const target = { ...(await app.target(manager.port)), enrolled: true, reportsOnWatch: options.reportsOnWatch };
  const slices = Math.ceil(devices / DEVICES_PER_SLICE);
  for (let slice = 0; slice < slices; slice++) {
    await fleet.connectSome(target, slice, slices);
    await fleet.ping(); // a device that is silent for 30 s after its first config is taken for dead
  }
  const cpuUsPerWatch = ((await idleCpuUs(manager, options)) - before) / devices;
  const opened = opening.move();
  return { manager, app, fleet, cpuUsPerWatch, [Symbol.asyncDispose]: () => opened.disposeAsync() };
}

/** Waits until the server has been idle for a moment and no presence waits for the store, 20 s at most; its processor time then, microseconds. */
export async function idleCpuUs(manager: BenchManager, { settleMs, signal }: Pick<FleetOptions, "settleMs" | "signal">): Promise<number> {
  for (let waited = 0; ; waited += settleMs) {
    const before = await manager.cpuUs();
    await delay(settleMs, undefined, { signal });
    const after = await manager.cpuUs();
    const isIdle = after - before <= settleMs * 1000 * IDLE_SHARE && (await manager.presenceWaiting()) === 0;
    if (isIdle || waited >= SETTLED_AFTER_AT_MOST_MS) return after;
  }
}
