import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Clock } from "../../common/clock/clock.ts";
import { silentLog } from "../../common/log/log.ts";
import { DOCKER_SOCKET } from "../../common/testing/require-docker.ts";
import { type RunningWorker, startWorker, type WorkerOptions } from "../../worker/main.ts";
import type { Server } from "./server.ts";

export type InProcessOptions = Readonly<{
  server: Pick<Server, "grpcPort" | "password">;
  clock: Clock;
  deviceGroup: string;
  deviceId: string;
  instance: string;
  takeOver?: readonly string[];
  /** In place of a connection to the server. */
  connection?: NonNullable<WorkerOptions["connection"]>;
}>;

/** A worker on the machine's engine within the test's process, so that it runs by the test's clock. */
export async function startInProcess({
  server,
  clock,
  deviceGroup,
  deviceId,
  instance,
  takeOver,
  connection,
}: InProcessOptions): Promise<RunningWorker> {
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
      runtime: `docker://${DOCKER_SOCKET}`,
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
    ...(connection === undefined ? {} : { connection }),
  });
  const stop = async () => {
    await worker.stop();
    await rm(workerDataDir, { recursive: true, force: true });
  };
  return { ...worker, stop, [Symbol.asyncDispose]: stop };
}
