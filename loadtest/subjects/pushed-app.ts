import type { CallOptions, GrpcChannel } from "../../common/rpc/grpc-channel.ts";
import { AppService } from "../../gen/nebula/v1/app_pb.ts";
import { ConfigService } from "../../gen/nebula/v1/config_pb.ts";
import { DeviceGroupService } from "../../gen/nebula/v1/device_group_pb.ts";
import { type FleetTarget, sharedNow } from "../client/fleet-protocol.ts";

/** Bytes of a config around the env values that fill it: names, image, revisions, cluster, etag. */
const CONFIG_OVERHEAD_BYTES = 180;

/** A way to call a manager as its admin. */
export type AdminCaller = Readonly<{ token: string; channel: GrpcChannel; call: CallOptions }>;

/** A device_group with one app. */
export type PushedApp = Readonly<{
  /** What a device connects to that watches the group on this port. */
  target(port: number): Promise<FleetTarget>;
  /** Changes the app by one API call; resolves with the moment of its answer (`sharedNow`). */
  push(): Promise<number>;
}>;

/** Makes a device_group, and an app of the same name, whose config has about this many bytes. */
export async function createPushedApp({ token, channel, call }: AdminCaller, payloadBytes: number, name = "bench"): Promise<PushedApp> {
  let pushes = 0;
  const envVars = () => ({ FILLING: "x".repeat(Math.max(0, payloadBytes - CONFIG_OVERHEAD_BYTES)), PUSH: String(pushes).padStart(8, "0") });
  await channel.unary(AppService.method.createApp, { app: { name, dockerImage: "bench:1", envVars: envVars() } }, call);
  await channel.unary(DeviceGroupService.method.createDeviceGroup, { deviceGroup: { name, apps: [name] } }, call);
  return {
    async target(port) {
      const { etag } = await channel.unary(ConfigService.method.getConfig, { deviceGroup: name }, call);
      return { protocol: "grpc", port, headers: { authorization: `Bearer ${token}` }, deviceGroup: name, etag };
    },
    async push() {
      pushes++;
      await channel.unary(AppService.method.updateApp, { app: { name, envVars: envVars() }, updateFields: ["env_vars.PUSH"] }, call);
      return sharedNow();
    },
  };
}
