import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { credentials } from "@grpc/grpc-js";
import { GrpcChannel } from "../../common/rpc/grpc-channel.ts";
import { AppService } from "../../gen/nebula/v1/app_pb.ts";
import { ConfigService } from "../../gen/nebula/v1/config_pb.ts";
import { DeviceGroupService } from "../../gen/nebula/v1/device_group_pb.ts";
import { sharedNow } from "../client/fleet-protocol.ts";
import { BenchProcess } from "../processes/bench-process.ts";
import { isReady, NODE_FLAGS, type Subject, type SubjectOptions } from "./subject.ts";

const GROUP = "bench";
const APP = "bench";
/** Bytes of a config around the env values that fill it: names, image, revisions, cluster, etag. */
const CONFIG_OVERHEAD_BYTES = 180;
const SERVER_FILE = fileURLToPath(new URL("../servers/manager.ts", import.meta.url));

/** A manager of Nebula's; a push is one API call that changes an app. */
export async function openNebula({ payloadBytes, processors, signal }: SubjectOptions): Promise<Subject> {
  await using opening = new AsyncDisposableStack();
  const dataDir = opening.adopt(mkdtempSync(join(tmpdir(), "nebula-bench-")), (dir) => rmSync(dir, { recursive: true, force: true }));
  const token = randomBytes(32).toString("hex");
  const server = opening.use(
    new BenchProcess({
      name: "the manager",
      command: [process.execPath, ...NODE_FLAGS, SERVER_FILE],
      processors,
      env: { NEBULA_BENCH_TOKEN: token, NEBULA_BENCH_DATA: dataDir },
      signal,
    }),
  );
  const { port } = await server.next(isReady);
  const channel = opening.use(new GrpcChannel(`127.0.0.1:${port}`, credentials.createInsecure()));
  const headers = { authorization: `Bearer ${token}` };
  const call = { headers, signal, timeoutMs: 60_000 };
  let pushes = 0;
  const envVars = () => ({ FILLING: "x".repeat(Math.max(0, payloadBytes - CONFIG_OVERHEAD_BYTES)), PUSH: String(pushes).padStart(8, "0") });
  await channel.unary(AppService.method.createApp, { app: { name: APP, dockerImage: "bench:1", envVars: envVars() } }, call);
  await channel.unary(DeviceGroupService.method.createDeviceGroup, { deviceGroup: { name: GROUP, apps: [APP] } }, call);

  const opened = opening.move();
  return {
    name: "nebula",
    figures: () => server.figures(),
    async target() {
      const { etag } = await channel.unary(ConfigService.method.getConfig, { deviceGroup: GROUP }, call);
      return { protocol: "grpc", port, headers, deviceGroup: GROUP, etag };
    },
    async push() {
      pushes++;
      await channel.unary(AppService.method.updateApp, { app: { name: APP, envVars: envVars() }, updateFields: ["env_vars.PUSH"] }, call);
      return sharedNow();
    },
    [Symbol.asyncDispose]: () => opened.disposeAsync(),
  };
}
