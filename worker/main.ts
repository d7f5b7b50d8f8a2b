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
import { newToken } from "../common/access/tokens.ts";
import type { Clock } from "../common/clock/clock.ts";
import { configOf } from "../common/config/merge-config.ts";
import { NebulaError } from "../common/errors/nebula-error.ts";
import type { Log } from "../common/log/log.ts";
import { mapLimited } from "../common/map-limited.ts";
import type { Settings } from "../common/settings/settings.ts";
import { ReloadedClientTls } from "../common/tls/client-tls.ts";
import type { Report } from "../gen/nebula/v1/report_pb.ts";
import { ConfigKeeper, followWatch, withinTime } from "./connection/follow.ts";
import { openWatch, type Watch, type WatchOptions } from "./connection/watch.ts";
import { type LastGood, openLastGood } from "./data/data-folder.ts";
import type { DeviceToken } from "./data/device-token.ts";
import { DataFolder } from "./data/folder-lock.ts";
import { decideDeviceId } from "./login/device-id.ts";
import { DeviceLogin, groupConflict } from "./login/device-login.ts";
import { createTokenServer } from "./login/token-server.ts";
import { Reconciler } from "./reconcile/reconcile.ts";
import { runTogether } from "./reconcile/run-together.ts";
import { createRegistryLogins } from "./registry/registry-logins.ts";
import { DeviceState } from "./report/device-state.ts";
import { HostFigures } from "./report/host.ts";
import { ReportSender } from "./report/sender.ts";
import type { ContainerRuntime, ContainerStats } from "./runtime/container-runtime.ts";
import { openRuntime } from "./runtime/open-runtime.ts";

/** How long a stop waits for a write to the disk. */
const STOP_WAIT_MS = 5000;
/** How often a failed save is tried again. */
const SAVE_AGAIN_MS = 60_000;
const STATS_AT_ONCE = 4;
/** Stats that can't be measured by then are left out of a report. */
const STATS_LIMIT_MS = 5000;

export type WorkerSettings = Pick<
  Settings,
  | "server"
  | "credentials"
  | "enrollToken"
  | "tokenRotationMs"
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
> &
  Partial<Pick<Settings, "tls" | "takeOver">>;

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
  /** Known once the device was enrolled, where the settings and the data folder do not say it. */
  readonly deviceGroup: Promise<string>;
  readonly boot: string;
  /** Rejects when the worker ended by a fault of its own. */
  readonly ended: Promise<void>;
  /** The newest report, as it would be sent now; undefined: nothing is known yet. For a summary. */
  report(): Report | undefined;
  /** Ends the worker; containers keep running. */
  stop(): Promise<void>;
}

/**
 * Starts a worker. Rejects with `invalid_argument` when nothing says which device_group it belongs to, or for an engine of an unknown kind, and with
 * `failed_precondition` when another worker uses its data folder, its token is bound to another device_group than the
 * settings', or a file of TLS is wrong.
 */
export async function startWorker(options: WorkerOptions): Promise<RunningWorker> {
  using starting = new DisposableStack();
  const folder = starting.use(await DataFolder.open(options.settings.workerDataDir, options.log));
  const worker = await startIn(folder, options);
  starting.move(); // released once the worker has ended
  return worker;
}

async function startIn(folder: DataFolder, options: WorkerOptions): Promise<RunningWorker> {
  const { settings, clock, log } = options;
  const lastGood = await openLastGood(folder.path, log);
  const kept = keptToken(lastGood, settings, log);
  const conflict = groupConflict(settings.deviceGroup, kept?.confirmed);
  if (conflict !== undefined) throw conflict;
  if ((settings.deviceGroup ?? kept?.confirmed?.deviceGroup ?? settings.enrollToken) === undefined) throw noGroup();
  const tls = await ReloadedClientTls.open(settings.tls, log);
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
  const startedAt = clock.now();
  const group = Promise.withResolvers<string>();
  const work = async () => {
    const login = new DeviceLogin({
      ...settings,
      deviceId: await deviceId,
      kept,
      save: (token) => lastGood.saveDeviceToken(token),
      server: createTokenServer({ server: settings.server, tls: () => tls.current }),
      rotationMs: settings.tokenRotationMs,
      newSecret: newToken,
      clock,
      log: log.child({ component: "login" }),
    });
    const follow = async (signal: AbortSignal) => {
      const facts = { deviceId: await deviceId, deviceGroup: await login.deviceGroup, boot, instance: settings.instance, startedAt };
      group.resolve(facts.deviceGroup);
      state = new DeviceState(facts);
      await runParts({ options, facts, state, login, folder, lastGood, runtime, tls }, signal);
    };
    await runTogether(stopping.signal, (signal) => ({ login: login.run(signal), device: follow(signal) }));
  };
  const ended = work()
    .catch((error) => {
      if (stopping.signal.aborted) return;
      log.error({ err: error }, "the worker ended by a fault of its own");
      throw error;
    })
    .finally(async () => {
      tls[Symbol.dispose]();
      folder[Symbol.dispose]();
      if (options.runtime === undefined) await runtime[Symbol.asyncDispose]();
    });
  ended.catch(group.reject);
  for (const promise of [ended, deviceId, group.promise]) promise.catch(() => {}); // each caller gets the rejection
  const stop = async () => {
    stopping.abort();
    await ended.catch(() => {});
  };
  return {
    deviceId,
    deviceGroup: group.promise,
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
  login: DeviceLogin;
  folder: DataFolder;
  lastGood: LastGood;
  runtime: ContainerRuntime;
  tls: ReloadedClientTls;
}>;

/** Wires the parts and runs them until the signal is aborted; a fault in one ends all. */
async function runParts(parts: Parts, signal: AbortSignal): Promise<void> {
  let saved: Promise<unknown> = Promise.resolve();
  const onSaving = (saving: Promise<unknown>) => {
    saved = saving;
  };
  await runTogether(signal, (whole) => startParts(parts, onSaving, whole)).finally(() => withinTime(saved, STOP_WAIT_MS, parts.options.clock));
}

function startParts(
  { options, facts, state, login, folder, lastGood, runtime, tls }: Parts,
  onSaving: (saving: Promise<unknown>) => void,
  signal: AbortSignal,
) {
  const { settings, clock, log } = options;
  const now = () => ({ wall: clock.now(), monotonic: clock.monotonic() });
  const { loaded } = lastGood;
  const known = loaded.config?.state.deviceGroup === facts.deviceGroup ? loaded.config : undefined;
  const followed = [...new Set([...(settings.takeOver ?? []), ...(loaded.config?.followed ?? [])])];
  const keeper = new ConfigKeeper(loaded.config?.state, known?.etag ?? "", followed);
  state.prunedUpTo(loaded.memory?.pruned);
  const figures = new HostFigures();

  const watch = (options.connection ?? openWatch)({
    server: settings.server,
    deviceGroup: facts.deviceGroup,
    deviceId: facts.deviceId,
    boot: facts.boot,
    keepaliveMs: settings.keepaliveMs,
    authorization: () => login.authorization(),
    loginReady: (waiting) => login.ready(waiting),
    loginRefused: (authorization) => login.refused(authorization),
    heldEtag: () => keeper.etag,
    tls: () => tls.current,
    clock,
    log: log.child({ component: "watch" }),
    signal,
  });
  login.onChanged = () => watch.loginChanged();
  const sender = new ReportSender({
    clock,
    log: log.child({ component: "reports" }),
    intervalMs: settings.reportIntervalMs,
    compose: () => {
      state.setProblem("state_not_saved", lastGood.failure ?? folder.failure);
      return state.compose(now());
    },
    measure: async (report, isPeriodic, measuring) => {
      // The use of containers is expensive to measure, so only the periodic reports have it.
      const measured = isPeriodic
        ? state.compose(now(), await statsOf(runtime, state.containerIds, AbortSignal.any([measuring, AbortSignal.timeout(STATS_LIMIT_MS)])))
        : report;
      const host = state.engine === undefined ? undefined : await figures.measure(state.engine);
      return Object.assign(measured ?? report, host === undefined ? {} : { host });
    },
    submit: (report, submitting) => watch.submit(report, submitting),
    onArrived: (report) => {
      if (report.problems.some(({ code }) => code === "cluster_changed")) state.setProblem("cluster_changed", undefined); // reported once
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
      followed: new Set(followed),
    },
    deviceId: facts.deviceId,
    login: createRegistryLogins({ env: process.env, log: log.child({ component: "registries" }) }),
    kept: loaded.memory,
    isSaving: () => lastGood.isSavingConfig,
    onLook: (look) => {
      state.see(look, clock.monotonic());
      sender.changed();
    },
    onKept: (kept) => {
      state.prunedUpTo(kept.pruned);
      onSaving(lastGood.saveMemory(kept)); // never rejects; what is not saved is a problem in the report
    },
  });
  if (loaded.config !== undefined && loaded.config.followed.length < followed.length) {
    onSaving(lastGood.saveConfig({ ...loaded.config, followed })); // what was taken over is followed without the setting from the next start on
  }
  if (known !== undefined) {
    log.info({ apps: known.state.memberApps.length }, "going on with the last good config");
    state.configCame(known.etag);
    reconciler.setConfig(configOf(known.state), known.etag);
  }
  const saveAgain = async () => {
    for (;;) {
      await clock.sleep(SAVE_AGAIN_MS, signal);
      if (folder.failure !== undefined) {
        await folder.lockAgain();
        if (folder.failure === undefined) sender.changed();
      }
      if (lastGood.failure !== undefined && (await lastGood.saveAgain()).kind === "saved") sender.changed();
    }
  };
  return {
    reconciler: reconciler.run(signal),
    reports: sender.run(signal),
    watch: followWatch(watch, { clock, keeper, lastGood, reconciler, sender, state, log }),
    saves: saveAgain(),
  };
}

/** The token on the disk, if it is this device's. */
function keptToken({ loaded }: LastGood, { deviceId }: WorkerSettings, log: Log): DeviceToken | undefined {
  const { deviceToken } = loaded;
  const own = deviceId ?? loaded.deviceId;
  if (deviceToken === undefined || own === undefined || deviceToken.deviceId === own) return deviceToken;
  log.warn({ deviceId: own, tokenOf: deviceToken.deviceId }, "the token in the data folder is of another device id, and is not used");
  return undefined;
}

function noGroup(): NebulaError {
  return new NebulaError(
    "invalid_argument",
    "the worker has no device_group; give NEBULA_DEVICE_GROUP or --device-group the name of one, or NEBULA_ENROLL_TOKEN an enrolment token",
  );
}

/** The stats of the containers; one that can't be measured is left out. */
async function statsOf(runtime: ContainerRuntime, ids: readonly string[], signal: AbortSignal): Promise<ReadonlyMap<string, ContainerStats>> {
  const measured = await mapLimited(ids, STATS_AT_ONCE, async (id) => ({ id, stats: await runtime.stats(id, signal).catch(() => undefined) }));
  return new Map(measured.flatMap(({ id, stats }) => (stats === undefined ? [] : [[id, stats]])));
}
