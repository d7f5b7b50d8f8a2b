import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Clock } from "../../common/clock/clock.ts";
import { systemClock } from "../../common/clock/system-clock.ts";
import { silentLog } from "../../common/log/log.ts";
import { DOCKER_SOCKET } from "../../common/testing/require-docker.ts";
import { type RunningWorker, startWorker, type WorkerOptions } from "../../worker/main.ts";
import type { ContainerRuntime } from "../../worker/runtime/container-runtime.ts";
import { openDockerRuntime } from "../../worker/runtime/docker/docker.ts";
import { openRuntime } from "../../worker/runtime/open-runtime.ts";
import type { SimulatedRuntime } from "../../worker/runtime/simulated/simulated.ts";
import type { Server } from "./server.ts";

export type InProcessOptions = Readonly<{
  server: Pick<Server, "grpcPort" | "password">;
  clock: Clock;
  deviceGroup: string;
  deviceId: string;
  instance: string;
  takeOver?: readonly string[];
  /** Socket of the Docker Engine; the machine's where absent. */
  socket?: string;
  /** How long a call to the engine may take, by the machine's clock, milliseconds; the worker's own limit where absent. */
  callLimitMs?: number;
  /** In place of a connection to the server. */
  connection?: NonNullable<WorkerOptions["connection"]>;
}>;

/** A worker on the machine's engine within the test's process, so that it runs by the test's clock. */
export async function startInProcess({ socket = DOCKER_SOCKET, callLimitMs, ...options }: InProcessOptions): Promise<RunningWorker> {
  const url = `docker://${socket}`;
  return startOn(await openDockerRuntime({ url, clock: options.clock, log: silentLog, callLimitMs }), url, options);
}

/** A worker within the test's process on an engine that only pretends: the given one, else one whose pulls take a moment. */
export async function startSimulated(
  device: Pick<InProcessOptions, "server" | "deviceGroup" | "deviceId">,
  runtime?: SimulatedRuntime,
): Promise<RunningWorker> {
  const url = "simulated:";
  const clock = systemClock;
  return startOn(runtime ?? (await openRuntime(url, { clock, log: silentLog })), url, { ...device, clock, instance: device.deviceId });
}

/** The engine closes with the worker. */
async function startOn(
  runtime: ContainerRuntime,
  url: string,
  { server, clock, deviceGroup, deviceId, instance, takeOver, connection }: Omit<InProcessOptions, "socket" | "callLimitMs">,
): Promise<RunningWorker> {
  const workerDataDir = await mkdtemp(join(tmpdir(), "nebula-e2e-worker-"));
  const worker = await startWorker({
    settings: {
      server: { protocol: "grpc", host: "127.0.0.1", port: server.grpcPort },
      credentials: { kind: "password", user: "admin", password: server.password },
      deviceGroup,
      deviceId,
      instance,
      keepaliveMs: 300_000,
      reportIntervalMs: 12 * 3_600_000,
      runtime: url,
      adopt: false,
      keepImages: 1,
      enrollToken: undefined,
      tokenRotationMs: 0,
      maxRestartWaitMs: 0,
      workerDataDir,
      ...(takeOver === undefined ? {} : { takeOver }),
    },
    clock,
    log: silentLog,
    runtime,
    ...(connection === undefined ? {} : { connection }),
  });
  const stop = async () => {
    await worker.stop();
    await runtime[Symbol.asyncDispose]();
    await rm(workerDataDir, { recursive: true, force: true });
  };
  return { ...worker, stop, [Symbol.asyncDispose]: stop };
}
