import { join } from "node:path";
import { systemClock } from "../../common/clock/system-clock.ts";
import type { Log } from "../../common/log/log.ts";
import { resolveSettings } from "../../common/settings/resolve-settings.ts";
import { startWorker, type WorkerOptions } from "../../worker/main.ts";
import type { ContainerRuntime } from "../../worker/runtime/container-runtime.ts";
import type { DemoLogin } from "./demo-nebulactl.ts";

export type FleetOptions = Readonly<{
  login: DemoLogin;
  deviceGroup: string;
  simulated: number;
  /** The worker on the real engine: under an instance of its own, so that nothing else there is touched. */
  real: Readonly<{ instance: string; runtime: ContainerRuntime }> | undefined;
  folder: string;
  log: Log;
}>;

/** Starts the workers: the same as on a device, most of them on a simulated engine. */
export async function startFleet({ login, deviceGroup, simulated, real, folder, log }: FleetOptions): Promise<AsyncDisposable> {
  await using starting = new AsyncDisposableStack();
  const settingsOf = (deviceId: string, args: readonly string[]) =>
    resolveSettings({
      command: "worker",
      args: ["--server", login.url, "--device-group", deviceGroup, "--device-id", deviceId, "--data", join(folder, deviceId), ...args],
      env: { NEBULA_USER: "admin", NEBULA_PASSWORD: login.password, NEBULA_ADOPT: "false" },
      readFile: () => "",
    }).settings;
  const workers: WorkerOptions[] = [];
  for (let i = 1; i <= simulated; i++) {
    const settings = settingsOf(`simulated-${String(i).padStart(3, "0")}`, ["--runtime", "simulated:", "--instance", `simulated-${i}`]);
    workers.push({ settings, clock: systemClock, log });
  }
  if (real !== undefined)
    workers.push({ settings: settingsOf("this-machine", ["--instance", real.instance]), clock: systemClock, log, runtime: real.runtime });
  // All are waited for, also where one can't start: those that did start end with it.
  const starts = await Promise.allSettled(workers.map(startWorker));
  for (const start of starts) if (start.status === "fulfilled") starting.use(start.value);
  for (const start of starts) if (start.status === "rejected") throw start.reason;
  const started = starting.move();
  return { [Symbol.asyncDispose]: () => started.disposeAsync() };
}
