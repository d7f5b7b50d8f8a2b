import { systemClock } from "../../../../common/clock/system-clock.ts";
import { createLog, type Log } from "../../../../common/log/log.ts";
import { formatAddress } from "../../../../common/net/address.ts";
import type { Settings } from "../../../../common/settings/settings.ts";
import { VERSION } from "../../../../common/version.ts";
import { startWorker } from "../../../../worker/main.ts";
import type { CommandContext } from "../../command/command.ts";
import { aborted, onStopSignal } from "../../command/stop-signals.ts";

/** Runs a worker until the process is stopped; answers the exit code. A worker that ends before that has failed. */
export async function runWorker(context: CommandContext): Promise<number> {
  const exitCode = await runUntilStopped(context);
  context.io.print(`the worker ${exitCode === 0 ? "stopped" : "failed"}; its containers keep running`);
  return exitCode;
}

async function runUntilStopped({ settings, io }: CommandContext): Promise<number> {
  const stop = onStopSignal(io.complain);
  const log = createLog({ level: settings.logLevel, format: settings.logFormat, part: "worker" });
  await using stack = new AsyncDisposableStack();
  let ready = false;
  stack.use(await openMetrics(settings, () => ready, log));
  const worker = stack.use(await startWorker({ settings, clock: systemClock, log }));
  const { protocol } = settings.server;
  const at = `${protocol}://${formatAddress(settings.server)}`;
  const known = settings.deviceGroup === undefined ? "" : ` of device_group ${settings.deviceGroup}`;
  io.print(`Nebula ${VERSION}: worker${known}, at ${at}`);
  if (settings.deviceGroup === undefined) {
    worker.deviceGroup.then(
      (deviceGroup) => io.print(`  its device_group is ${deviceGroup}`),
      () => {}, // `ended` reports it
    );
  }
  worker.deviceId.then(
    (deviceId) => {
      ready = true;
      io.print(`  this device is ${deviceId}`);
    },
    () => {}, // `ended` reports it
  );
  const failed = await Promise.race([
    aborted(stop).then(() => false),
    worker.ended.then(
      () => !stop.aborted,
      () => true,
    ),
  ]);
  return failed ? 1 : 0;
}

/**
 * Starts the metrics server only if an address is set: without one, a worker on a small device loads no metrics code.
 */
async function openMetrics(settings: Settings, ready: () => boolean, log: Log): Promise<AsyncDisposable> {
  if (settings.metricsListen === undefined) return { [Symbol.asyncDispose]: async () => {} };
  const [{ createRegistry }, { startMetricsServer }] = await Promise.all([
    import("../../../../common/metrics/registry.ts"),
    import("../../../../common/metrics/metrics-server.ts"),
  ]);
  const missing = () => (ready() ? [] : ["the Docker Engine was not reached yet"]);
  return await startMetricsServer({ listen: settings.metricsListen, registry: createRegistry(), ready: missing, log });
}
