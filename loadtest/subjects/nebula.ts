import { AppService } from "../../gen/nebula/v1/app_pb.ts";
import { ConfigService } from "../../gen/nebula/v1/config_pb.ts";
import { DeviceGroupService } from "../../gen/nebula/v1/device_group_pb.ts";
import { sharedNow } from "../client/fleet-protocol.ts";
import { openManager } from "../servers/open-manager.ts";
import type { Subject, SubjectOptions } from "./subject.ts";

const GROUP = "bench";
const APP = "bench";
/** Bytes of a config around the env values that fill it: names, image, revisions, cluster, etag. */
const CONFIG_OVERHEAD_BYTES = 180;

/** A manager of Nebula's; a push is one API call that changes an app. */
export async function openNebula({ payloadBytes, processors, signal }: SubjectOptions): Promise<Subject> {
  await using opening = new AsyncDisposableStack();
  const manager = opening.use(await openManager({ processors, signal }));
  const { port, token, channel, call } = manager;
  let pushes = 0;
  const envVars = () => ({ FILLING: "x".repeat(Math.max(0, payloadBytes - CONFIG_OVERHEAD_BYTES)), PUSH: String(pushes).padStart(8, "0") });
  await channel.unary(AppService.method.createApp, { app: { name: APP, dockerImage: "bench:1", envVars: envVars() } }, call);
  await channel.unary(DeviceGroupService.method.createDeviceGroup, { deviceGroup: { name: GROUP, apps: [APP] } }, call);

  const opened = opening.move();
  return {
    name: "nebula",
    figures: () => manager.figures(),
    async target() {
      const { etag } = await channel.unary(ConfigService.method.getConfig, { deviceGroup: GROUP }, call);
      return { protocol: "grpc", port, headers: { authorization: `Bearer ${token}` }, deviceGroup: GROUP, etag };
    },
    async push() {
      pushes++;
      await channel.unary(AppService.method.updateApp, { app: { name: APP, envVars: envVars() }, updateFields: ["env_vars.PUSH"] }, call);
      return sharedNow();
    },
    [Symbol.asyncDispose]: () => opened.disposeAsync(),
  };
}
