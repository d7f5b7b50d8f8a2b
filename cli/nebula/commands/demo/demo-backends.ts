/**
 * Where the demo keeps what it makes: in a temporary folder, or on the servers that the environment names. Those may hold what is not the demo's.
 *
 * B1 Nothing that was there before is changed: a store with an app or a device_group of these names ends the start.
 * B2 What the demo made there is removed when it ends.
 */
import { randomBytes } from "node:crypto";
import { join } from "node:path";
import { isNebulaError, NebulaError } from "../../../../common/errors/nebula-error.ts";
import { resolveSettings } from "../../../../common/settings/resolve-settings.ts";
import type { Environment } from "../../../../common/settings/setting.ts";
import type { Settings } from "../../../../common/settings/settings.ts";
import { AppService } from "../../../../gen/nebula/v1/app_pb.ts";
import { DeviceGroupService } from "../../../../gen/nebula/v1/device_group_pb.ts";
import { DeviceService } from "../../../../gen/nebula/v1/device_pb.ts";
import { connect, type DemoLogin } from "./fleet.ts";
import { allDevices } from "./rollout.ts";

/** Variables of the environment that the demo honours: those of the backends, with their passwords and files, and the cluster key. */
const HONOURED = /^NEBULA_((STORE|REPORTS|REDIS|BUS)(_|$)|CLUSTER_KEY(_FILE)?$)/;

/**
 * The settings of the demo's server.
 * @param readFile reads a text file: one that a variable names
 * @throws NebulaError invalid_argument for a value that is not valid
 */
export function serverSettings(folder: string, environment: Environment, readFile: (path: string) => string): Settings {
  const args = ["--data", join(folder, "server"), "--http-listen", "127.0.0.1:0", "--grpc-listen", "127.0.0.1:0", "--metrics-listen", "off"];
  const made = { NEBULA_CLUSTER_KEY: randomBytes(32).toString("base64url"), NEBULA_ADMIN_PASSWORD: randomBytes(18).toString("base64url") };
  const honoured = Object.entries(environment).filter(([name, value]) => HONOURED.test(name) && value !== undefined && value !== "");
  const given = new Map(honoured);
  const env = given.has("NEBULA_CLUSTER_KEY_FILE") ? { NEBULA_ADMIN_PASSWORD: made.NEBULA_ADMIN_PASSWORD } : made;
  return resolveSettings({ command: "server", args, env: { ...env, ...Object.fromEntries(given) }, readFile }).settings;
}

/** Whether all is in the temporary folder and in this process. */
export function isEmbedded({ store, reports, redis, bus }: Settings): boolean {
  return store === "sqlite:" && reports === "sqlite:" && redis === "memory:" && bus === "memory:";
}

/** Where the server keeps what it makes, in words. */
export function describeBackends(settings: Settings): string {
  if (isEmbedded(settings))
    return "A server with nothing else beside it: manager, gateway and reporter in one process, SQLite in a temporary folder.";
  const { store, reports, redis, bus } = settings;
  const parts = [
    store === "sqlite:" ? "apps in SQLite in a temporary folder" : "apps in the Cassandra of NEBULA_STORE",
    reports === "sqlite:" ? "reports in SQLite" : "reports in Cassandra",
    ...(redis === "memory:" ? [] : ["changes announced through the Redis of NEBULA_REDIS"]),
    ...(bus === "memory:" ? [] : ["reports by way of the Kafka of NEBULA_BUS"]),
  ];
  return `A server on the backends of the environment: ${parts.join(", ")}.`;
}

export type DemoNames = Readonly<{ app: string; group: string }>;

/** @throws NebulaError failed_precondition where the store has an app or a device_group of these names (B1) */
export async function assertFree(login: DemoLogin, { app, group }: DemoNames): Promise<void> {
  using api = connect(login);
  const { channel, call } = api;
  const taken = [
    ...((await exists(() => channel.unary(AppService.method.getApp, { name: app }, call))) ? [`an app "${app}"`] : []),
    ...((await exists(() => channel.unary(DeviceGroupService.method.getDeviceGroup, { name: group }, call))) ? [`a device_group "${group}"`] : []),
  ];
  if (taken.length === 0) return;
  const why = `the store has ${taken.join(" and ")} already, and the demo changes nothing that it has not made`;
  throw new NebulaError("failed_precondition", `${why}; use a NEBULA_STORE of its own, or none`);
}

/** Removes the device_group, the app and the devices that have reported in the group (B2). Ignores those that do not exist. */
export async function removeMade(login: DemoLogin, { app, group }: DemoNames): Promise<void> {
  using api = connect(login);
  const { channel, call } = api;
  await exists(() => channel.unary(DeviceGroupService.method.deleteDeviceGroup, { name: group }, call));
  await exists(() => channel.unary(AppService.method.deleteApp, { name: app }, call));
  for (const { deviceId } of await allDevices(channel, group, call)) {
    await exists(() => channel.unary(DeviceService.method.deleteDevice, { deviceId }, call));
  }
}

async function exists(call: () => Promise<unknown>): Promise<boolean> {
  try {
    await call();
    return true;
  } catch (error) {
    if (isNebulaError(error, "not_found")) return false;
    throw error;
  }
}
