import { Registry } from "prom-client";
import { createMemoryLoginCounts } from "../../common/access/login-counts.ts";
import { systemClock } from "../../common/clock/system-clock.ts";
import type { Drivers } from "../../common/drivers.ts";
import { silentLog } from "../../common/log/log.ts";
import { openBackends } from "../../common/testing/backends.ts";
import { startGateway } from "../../gateway/main.ts";
import { startManagerRig, TEST_SECRETS } from "../../manager/testing/manager-rig.ts";
import { type ForgettingClock, forgettingClock } from "../harness/forgetting-clock.ts";
import { assembleCast, type Cast } from "./cast.ts";

/** A manager with everybody in it, and a gateway before it; on a cluster, what the last manager answers that the first one knows. */
export type Stage = AsyncDisposable & Readonly<{ cast: Cast; clock: ForgettingClock; grpcPort: number; gatewayUrl: string }>;

export async function openStage(): Promise<Stage> {
  await using stack = new AsyncDisposableStack();
  const clock = forgettingClock();
  const { shards, settings: backends } = stack.use(await openBackends());
  // Each shard counts failed logins for itself: a test cannot have the time of Redis run ahead.
  const wrapDrivers = (drivers: Drivers): Drivers => ({ ...drivers, loginCounts: createMemoryLoginCounts() });
  const startShard = async (shard: string) => stack.use(await startManagerRig({ clock, settings: { ...backends, shard }, wrapDrivers }));
  const first = await startShard("shard-0");
  const rigs = [first];
  while (rigs.length < shards) rigs.push(await startShard(`shard-${rigs.length}`));
  const cast = await assembleCast(first);
  const rig = rigs.at(-1) ?? first;
  const settings = {
    httpListen: { host: "127.0.0.1", port: 0 },
    grpcListen: { host: "127.0.0.1", port: rig.port },
    managers: rigs.map(({ port }) => ({ protocol: "grpc", host: "127.0.0.1", port }) as const),
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
