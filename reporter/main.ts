import type { Registry } from "prom-client";
import type { Clock } from "../common/clock/clock.ts";
import type { TurnTaking } from "../common/clock/turn-taking.ts";
import type { Drivers } from "../common/drivers.ts";
import { messageOf } from "../common/errors/nebula-error.ts";
import type { Log } from "../common/log/log.ts";
import type { Settings } from "../common/settings/settings.ts";
import { runExpiry } from "./expire.ts";
import { createIngest } from "./ingest.ts";
import { createReporterMetrics } from "./metrics.ts";

const RETRY_FIRST_MS = 500;
const RETRY_LONGEST_MS = 5_000;
/** Consuming without an error for this long, milliseconds, resets the back-off. */
const STEADY_MS = 60_000;

export type ReporterOptions = Readonly<{
  settings: Pick<Settings, "reportTtlMs">;
  /** Opened, and closed after the reporter has stopped, by the caller. */
  drivers: Pick<Drivers, "reportBus" | "reportStore" | "changeFeed"> & Readonly<{ accessStore: Pick<Drivers["accessStore"], "deviceToken"> }>;
  clock: Clock;
  log: Log;
  registry: Registry;
  /** By which batches have their turn while a manager of this process fans a config out. */
  turns?: Pick<TurnTaking, "batch">;
}>;

/** A running reporter; disposing stops it after the batch that it is at. */
export type Reporter = AsyncDisposable & {
  /** The reasons why it is not ready, one sentence each, for /readyz: the bus that it has not joined, the backend that its batches wait for. */
  readonly notReady: readonly string[];
};

/** Starts to take reports from the bus into the store, and to remove old ones. The reporter is ready once the bus says that it has joined. */
export async function startReporter({ settings, drivers, clock, log, registry, turns }: ReporterOptions): Promise<Reporter> {
  const { reportBus: bus, reportStore: store, changeFeed: feed, accessStore } = drivers;
  const stop = new AbortController();
  const metrics = createReporterMetrics(registry, clock);
  // A second worker is remembered for as long as its reports can be looked up.
  const { reportTtlMs } = settings;
  let missing: string | undefined;
  const misses = (backend: string | undefined) => {
    missing = backend;
  };
  const ingest = createIngest({
    store,
    accessStore,
    bus,
    feed,
    limits: { duplicateMemoryMs: reportTtlMs },
    reportTtlMs,
    clock,
    log,
    metrics,
    misses,
  });
  let joined = false;

  function setJoined(value: boolean): void {
    joined = value;
    metrics.consuming.set(value ? 1 : 0);
  }

  async function consume(signal: AbortSignal): Promise<void> {
    for (let waitMs = RETRY_FIRST_MS; ; waitMs = Math.min(waitMs * 2, RETRY_LONGEST_MS)) {
      const begun = clock.monotonic();
      try {
        await bus.consume(ingest, { signal, onJoined: () => setJoined(true), turn: (ended) => turns?.batch(ended) });
      } catch (error) {
        if (!signal.aborted) log.error({ error: messageOf(error) }, "consuming reports failed and is begun again");
      }
      setJoined(false);
      if (signal.aborted) return;
      metrics.consumerRestarts.inc();
      if (clock.monotonic() - begun >= STEADY_MS) waitMs = RETRY_FIRST_MS;
      await clock.sleep(waitMs, signal).catch(() => {});
      if (signal.aborted) return;
    }
  }

  const running = Promise.all([
    consume(stop.signal),
    runExpiry({ store, ttlMs: reportTtlMs, clock, log, expired: { reports: metrics.expired, devices: metrics.expiredDevices } }, stop.signal),
  ]);
  log.info("reporter started");

  return {
    get notReady() {
      return [
        ...(joined ? [] : ["NEBULA_BUS: reports are not read, because the bus has not been joined"]),
        ...(missing === undefined ? [] : [missing]),
      ];
    },
    async [Symbol.asyncDispose]() {
      stop.abort();
      await running;
    },
  };
}
