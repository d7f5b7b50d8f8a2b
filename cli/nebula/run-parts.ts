import { systemClock } from "../../common/clock/system-clock.ts";
import { createLog } from "../../common/log/log.ts";
import { startMetricsServer } from "../../common/metrics/metrics-server.ts";
import { createRegistry } from "../../common/metrics/registry.ts";
import type { CommandContext } from "./command.ts";
import { startLines } from "./start-lines.ts";
import type { RunningParts, StartOptions } from "./start-server.ts";
import { aborted, onStopSignal } from "./stop-signals.ts";

/** Runs parts of the server until the process is told to stop; answers the exit code. */
export async function runParts(
  name: string,
  start: (options: StartOptions) => Promise<RunningParts>,
  { settings, io }: CommandContext,
): Promise<number> {
  const stop = onStopSignal(io.complain);
  const logOf = (part: string) => createLog({ level: settings.logLevel, part });
  const log = logOf(name);
  const registry = createRegistry();
  let parts: RunningParts | undefined;
  await using stack = new AsyncDisposableStack();
  const ready = () => parts?.notReady() ?? ["starting"];
  const metrics = stack.use(await startMetricsServer({ listen: settings.metricsListen, registry, ready, log }));
  parts = stack.use(await start({ settings, clock: systemClock, logOf, registry }));
  const { gateway, manager, secrets } = parts;
  const started = { settings, http: gateway?.address, grpc: manager?.address, metrics: metrics.address, secrets, terminal: io.terminal };
  for (const line of startLines(started)) io.print(line);
  await aborted(stop);
  log.info({}, "stopping");
  return 0;
}
