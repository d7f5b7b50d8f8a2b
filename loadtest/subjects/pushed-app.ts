import type { CallOptions, GrpcChannel } from "../../common/rpc/grpc-channel.ts";
import { AppService } from "../../gen/nebula/v1/app_pb.ts";
import { ConfigService } from "../../gen/nebula/v1/config_pb.ts";
import { DeviceGroupService } from "../../gen/nebula/v1/device_group_pb.ts";
import { type FleetTarget, sharedNow } from "../client/fleet-protocol.ts";

/** Bytes of a config around the env values that fill it: names, image, revisions, cluster, etag. */
const CONFIG_OVERHEAD_BYTES = 180;

/** A way to call a manager as its admin. */
export type AdminCaller = Readonly<{ token: string; channel: GrpcChannel; call: CallOptions }>;

/** A device_group with one app that is changed, and perhaps others that are not. */
export type PushedApp = Readonly<{
  deviceGroup: string;
  /** Its apps; the first is the one that is changed. */
  apps: readonly string[];
  /** The revision of the app that the next change makes. */
  nextRevision(): bigint;
  /** The target of a device that watches the group on this port, and reports on the stream of its watch, as workers do. */
  target(port: number): Promise<FleetTarget>;
  /** Changes the app by one API call; resolves with the moment of its answer (`sharedNow`). */
  push(): Promise<number>;
}>;

/** Makes a device_group, and an app of the same name, whose config has about this many bytes; `more` apps besides it are small. */
export async function createPushedApp({ token, channel, call }: AdminCaller, payloadBytes: number, name = "bench", more = 0): Promise<PushedApp> {
  let pushes = 0;
  let revision = 0n;
  const others = Array.from({ length: more }, (_, index) => `${name}-${index + 2}`);
  const envVars = () => ({ FILLING: "x".repeat(Math.max(0, payloadBytes - CONFIG_OVERHEAD_BYTES)), PUSH: String(pushes).padStart(8, "0") });
  const created = await channel.unary(AppService.method.createApp, { app: { name, dockerImage: "bench:1", envVars: envVars() } }, call);
  revision = created.app?.revision ?? 0n;
  for (const other of others) await channel.unary(AppService.method.createApp, { app: { name: other, dockerImage: "bench:1" } }, call);
  const apps = [name, ...others];
  await channel.unary(DeviceGroupService.method.createDeviceGroup, { deviceGroup: { name, apps } }, call);
  return {
    deviceGroup: name,
    apps,
    nextRevision: () => revision + 1n,
    async target(port) {
      const { etag } = await channel.unary(ConfigService.method.getConfig, { deviceGroup: name }, call);
      return { protocol: "grpc", port, headers: { authorization: `Bearer ${token}` }, reportsOnWatch: true, deviceGroup: name, etag };
    },
    async push() {
      pushes++;
      const updated = await channel.unary(AppService.method.updateApp, { app: { name, envVars: envVars() }, updateFields: ["env_vars.PUSH"] }, call);
      revision = updated.app?.revision ?? revision;
      return sharedNow();
    },
  };
}
