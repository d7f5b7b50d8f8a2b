import { Registry } from "prom-client";
import { systemClock } from "../../common/clock/system-clock.ts";
import { silentLog } from "../../common/log/log.ts";
import { startGateway } from "../../gateway/main.ts";
import { startManagerRig, TEST_SECRETS } from "../../manager/testing/manager-rig.ts";
import { type ForgettingClock, forgettingClock } from "../harness/forgetting-clock.ts";
import { assembleCast, type Cast } from "./cast.ts";

/** A manager with everybody in it, and a gateway before it. */
export type Stage = AsyncDisposable & Readonly<{ cast: Cast; clock: ForgettingClock; grpcPort: number; gatewayUrl: string }>;

export async function openStage(): Promise<Stage> {
  await using stack = new AsyncDisposableStack();
  const clock = forgettingClock();
  const rig = stack.use(await startManagerRig({ clock }));
  const cast = await assembleCast(rig);
  const settings = {
    httpListen: { host: "127.0.0.1", port: 0 },
    grpcListen: { host: "127.0.0.1", port: rig.port },
    managers: [{ protocol: "grpc", host: "127.0.0.1", port: rig.port } as const],
    authEnabled: true,
  };
  const gateway = stack.use(
    await startGateway({
      settings,
      secrets: { clusterKey: TEST_SECRETS.clusterKey },
      changeFeed: rig.drivers.changeFeed,
      clock: systemClock,
      log: silentLog,
      registry: new Registry(),
      stopMs: 2000,
    }),
  );
  const opened = stack.move();
  return {
    cast,
    clock,
    grpcPort: rig.port,
    gatewayUrl: `http://127.0.0.1:${gateway.address.port}`,
    [Symbol.asyncDispose]: () => opened.disposeAsync(),
  };
}
