/**
 * The worker: one per device, it makes the engine as its device_group's config says, and reports.
 *
 * `startWorker` resolves at once; engine and manager are waited for in the background. A worker on a simulated engine, for a demo or a test:
 *
 *   await using worker = await startWorker({ settings: { ...settings, runtime: "simulated:", instance: "demo-1" }, clock: systemClock, log });
 *
 * Disposing it stops the worker, never a container.
 */
import { randomBytes } from "node:crypto";
import { authorizationOf } from "../common/access/authorization.ts";
import type { Clock } from "../common/clock/clock.ts";
import { configOf } from "../common/config/merge-config.ts";
import { NebulaError } from "../common/errors/nebula-error.ts";
import type { Log } from "../common/log/log.ts";
import type { Settings } from "../common/settings/settings.ts";
import type { Report } from "../gen/nebula/v1/report_pb.ts";
import { ConfigKeeper } from "./config-keeper.ts";
import { decideDeviceId } from "./device-id.ts";
import { DeviceState } from "./device-state.ts";
import { followWatch } from "./follow-watch.ts";
import { HostFigures } from "./host-figures.ts";
import { type LastGood, openLastGood } from "./last-good.ts";
import { openRuntime } from "./open-runtime.ts";
import { Reconciler } from "./reconcile.ts";
import { createRegistryLogins } from "./registry-logins.ts";
import { ReportSender } from "./report-sender.ts";
import type { ContainerRuntime, ContainerStats } from "./runtime/container-runtime.ts";
import { mapLimited } from "./runtime/map-limited.ts";
import { openWatch, type Watch, type WatchOptions } from "./watch.ts";

/** What could not be saved is tried again so often. */
const SAVE_AGAIN_MS = 60_000;
const STATS_AT_ONCE = 4;
/** What can't be measured by then is left out of a report. */
const STATS_LIMIT_MS = 5000;

export type WorkerSettings = Pick<
  Settings,
  | "server"
  | "credentials"
  | "deviceGroup"
  | "deviceId"
  | "instance"
  | "keepaliveMs"
  | "reportIntervalMs"
  | "runtime"
  | "adopt"
  | "keepImages"
  | "maxRestartWaitMs"
  | "workerDataDir"
>;

export type WorkerOptions = Readonly<{
  settings: WorkerSettings;
  clock: Clock;
  log: Log;
  /** An engine that is open already, in place of the one that the settings name; it is not closed with the worker. */
  runtime?: ContainerRuntime;
  /** Opens the connection in place of the one to the settings' server. */
  connection?: (options: WatchOptions) => Watch;
}>;

export interface RunningWorker extends AsyncDisposable {
  /** Known once the engine was there, where the settings and the data folder do not say it. */
  readonly deviceId: Promise<string>;
  readonly boot: string;
  /** Rejects when the worker ended by a fault of its own. */
  readonly ended: Promise<void>;
  /** The newest report, as it would be sent now; undefined: nothing is known yet. For a summary. */
  report(): Report | undefined;
  /** Ends the worker; containers go on running. */
  stop(): Promise<void>;
}

/** Starts a worker. Rejects with `invalid_argument` when the settings name no device_group, or an engine of an unknown kind. */
export async function startWorker(options: WorkerOptions): Promise<RunningWorker> {
  const { settings, clock, log } = options;
  const { deviceGroup } = settings;
  if (deviceGroup === undefined) {
    throw new NebulaError("invalid_argument", "the worker has no device_group; give NEBULA_DEVICE_GROUP or --device-group the name of one");
  }
  const lastGood = await openLastGood(settings.workerDataDir, log);
  const runtime = options.runtime ?? (await openRuntime(settings.runtime, { clock, log }));
  const stopping = new AbortController();
  const boot = randomBytes(8).toString("hex");
  const deviceId = decideDeviceId({
    given: settings.deviceId,
    lastGood,
    engineHostname: async (signal) => (await runtime.info(signal)).hostname,
    clock,
    log,
    signal: stopping.signal,
  });
  let state: DeviceState | undefined;
  const work = async () => {
    const facts = { deviceId: await deviceId, deviceGroup, boot, instance: settings.instance, startedAt: clock.now() };
    state = new DeviceState(facts);
    await runParts({ options, facts, state, lastGood, runtime, signal: stopping.signal });
  };
  const ended = work()
    .catch((error) => {
      if (stopping.signal.aborted) return;
      log.error({ err: error }, "the worker ended by a fault of its own");
      throw error;
    })
    .finally(async () => {
      if (options.runtime === undefined) await runtime[Symbol.asyncDispose]();
    });
  for (const promise of [ended, deviceId]) promise.catch(() => {}); // whoever waits for them is told
  const stop = async () => {
    stopping.abort();
    await ended.catch(() => {});
  };
  return {
    deviceId,
    boot,
    ended,
    report: () => state?.compose({ wall: clock.now(), monotonic: clock.monotonic() }),
    stop,
    [Symbol.asyncDispose]: stop,
  };
}

type Parts = Readonly<{
  options: WorkerOptions;
  facts: ConstructorParameters<typeof DeviceState>[0];
  state: DeviceState;
  lastGood: LastGood;
  runtime: ContainerRuntime;
  signal: AbortSignal;
}>;

/** Wires the parts and runs them until the signal is aborted; a fault in one ends all. */
async function runParts({ options, facts, state, lastGood, runtime, signal }: Parts): Promise<void> {
  const { settings, clock, log } = options;
  const now = () => ({ wall: clock.now(), monotonic: clock.monotonic() });
  const fault = new AbortController();
  const onAbort = () => fault.abort(signal.reason);
  signal.addEventListener("abort", onAbort);
  const { loaded } = lastGood;
  const known = loaded.config?.state.deviceGroup === facts.deviceGroup ? loaded.config : undefined;
  const keeper = new ConfigKeeper(loaded.config?.state, known?.etag ?? "");
  state.prunedUpTo(loaded.memory?.pruned);
  const figures = new HostFigures();
  let saved: Promise<unknown> = Promise.resolve();

  const watch = (options.connection ?? openWatch)({
    server: settings.server,
    deviceGroup: facts.deviceGroup,
    deviceId: facts.deviceId,
    boot: facts.boot,
    keepaliveMs: settings.keepaliveMs,
    authorization: () => (settings.credentials === undefined ? undefined : authorizationOf(settings.credentials)),
    heldEtag: () => keeper.etag,
    clock,
    log: log.child({ component: "watch" }),
    signal: fault.signal,
  });
  const sender = new ReportSender({
    clock,
    log: log.child({ component: "reports" }),
    intervalMs: settings.reportIntervalMs,
    compose: () => {
      state.setProblem("state_not_saved", lastGood.failure);
      return state.compose(now());
    },
    measure: async (report, isPeriodic, measuring) => {
      // What containers use is dear to measure, so it is told where nothing else is the matter.
      const measured = isPeriodic
        ? state.compose(now(), await statsOf(runtime, state.containerIds, AbortSignal.any([measuring, AbortSignal.timeout(STATS_LIMIT_MS)])))
        : report;
      const host = state.engine === undefined ? undefined : await figures.measure(state.engine);
      return Object.assign(measured ?? report, host === undefined ? {} : { host });
    },
    submit: (report, submitting) => watch.submit(report, submitting),
    onArrived: (report) => {
      if (report.problems.some(({ code }) => code === "cluster_changed")) state.setProblem("cluster_changed", undefined); // told once
    },
  });
  const reconciler = new Reconciler({
    runtime,
    clock,
    log: log.child({ component: "reconciler" }),
    identity: {
      instance: settings.instance,
      boot: facts.boot,
      adopt: settings.adopt,
      keepImages: settings.keepImages,
      maxRestartWaitMs: settings.maxRestartWaitMs,
    },
    deviceId: facts.deviceId,
    login: createRegistryLogins({ env: process.env, log: log.child({ component: "registries" }) }),
    kept: loaded.memory,
    onLook: (look) => {
      state.see(look);
      sender.changed();
    },
    onKept: (kept) => {
      state.prunedUpTo(kept.pruned);
      saved = lastGood.saveMemory(kept); // never rejects; what is not saved is a problem in the report
    },
  });
  if (known !== undefined) {
    log.info({ apps: known.state.memberApps.length }, "going on with the last good config");
    state.configCame(known.etag);
    reconciler.setConfig(configOf(known.state), known.etag);
  }
  const saveAgain = async () => {
    for (;;) {
      await clock.sleep(SAVE_AGAIN_MS, fault.signal);
      if (lastGood.failure !== undefined && (await lastGood.saveAgain()).kind === "saved") sender.changed();
    }
  };
  const parts = [
    reconciler.run(fault.signal),
    sender.run(fault.signal),
    followWatch(watch, { keeper, lastGood, reconciler, sender, state, log }),
    saveAgain(),
  ].map((part) =>
    part.catch((error) => {
      fault.abort(error); // the first fault ends all parts
    }),
  );
  try {
    await Promise.all(parts);
    if (!signal.aborted) fault.signal.throwIfAborted();
  } finally {
    await saved;
    signal.removeEventListener("abort", onAbort);
  }
}

/** What the containers use; one that can't be measured is left out. */
async function statsOf(runtime: ContainerRuntime, ids: readonly string[], signal: AbortSignal): Promise<ReadonlyMap<string, ContainerStats>> {
  const measured = await mapLimited(ids, STATS_AT_ONCE, async (id) => ({ id, stats: await runtime.stats(id, signal).catch(() => undefined) }));
  return new Map(measured.flatMap(({ id, stats }) => (stats === undefined ? [] : [[id, stats]])));
}
