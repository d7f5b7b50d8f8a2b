import { join } from "node:path";
import { credentials } from "@grpc/grpc-js";
import { authorizationOf } from "../../../../common/access/authorization.ts";
import { systemClock } from "../../../../common/clock/system-clock.ts";
import type { Log } from "../../../../common/log/log.ts";
import { GrpcChannel } from "../../../../common/rpc/grpc-channel.ts";
import { resolveSettings } from "../../../../common/settings/resolve-settings.ts";
import { startWorker, type WorkerOptions } from "../../../../worker/main.ts";
import type { ContainerRuntime } from "../../../../worker/runtime/container-runtime.ts";

/** How the parts of the demo reach its server. */
export type DemoLogin = Readonly<{ url: string; grpcAddress: string; password: string }>;

/** How long a call of the demo may take, milliseconds. */
const CALL_LIMIT_MS = 10_000;

/** Opens a channel to the demo's server, with the login for its calls. */
export function connect({ grpcAddress, password }: DemoLogin) {
  const channel = new GrpcChannel(grpcAddress, credentials.createInsecure());
  const call = { headers: { authorization: authorizationOf({ kind: "password", user: "admin", password }) }, timeoutMs: CALL_LIMIT_MS };
  return { channel, call, [Symbol.dispose]: () => channel[Symbol.dispose]() };
}

export type FleetOptions = Readonly<{
  login: DemoLogin;
  deviceGroup: string;
  simulated: number;
  /** The engine of the simulated device of a number, from 1; undefined: a plain simulated one. */
  engineOf?: (number: number) => ContainerRuntime | undefined;
  /** The worker on the real engine, with an instance name of its own, so that it touches no other container. */
  real: Readonly<{ instance: string; runtime: ContainerRuntime }> | undefined;
  folder: string;
  log: Log;
}>;

/** The device id of the simulated device of a number, from 1. */
export function simulatedId(number: number): string {
  return `simulated-${String(number).padStart(3, "0")}`;
}

/** Starts the workers: the same code as on a device, most of them on a simulated engine. */
export async function startFleet({ login, deviceGroup, simulated, engineOf, real, folder, log }: FleetOptions): Promise<AsyncDisposable> {
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
    const settings = settingsOf(simulatedId(i), ["--runtime", "simulated:", "--instance", `simulated-${i}`]);
    const runtime = engineOf?.(i);
    workers.push({ settings, clock: systemClock, log, ...(runtime === undefined ? {} : { runtime }) });
  }
  if (real !== undefined)
    workers.push({ settings: settingsOf("this-machine", ["--instance", real.instance]), clock: systemClock, log, runtime: real.runtime });
  // Waits for all of them even if one fails, so that those that did start are stopped.
  const starts = await Promise.allSettled(workers.map(startWorker));
  for (const start of starts) if (start.status === "fulfilled") starting.use(start.value);
  for (const start of starts) if (start.status === "rejected") throw start.reason;
  const started = starting.move();
  return { [Symbol.asyncDispose]: () => started.disposeAsync() };
}
