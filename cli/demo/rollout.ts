import { timestampMs } from "@bufbuild/protobuf/wkt";
import { credentials } from "@grpc/grpc-js";
import { authorizationOf } from "../../common/access/authorization.ts";
import { systemClock } from "../../common/clock/system-clock.ts";
import { GrpcChannel } from "../../common/rpc/grpc-channel.ts";
import { AppService } from "../../gen/nebula/v1/app_pb.ts";
import { type Device, DeviceService } from "../../gen/nebula/v1/device_pb.ts";
import { TargetState } from "../../gen/nebula/v1/report_pb.ts";
import type { DemoLogin } from "./demo-nebulactl.ts";
import { progressLine } from "./progress-line.ts";

/** How one change went through the fleet. Times are milliseconds after the API's answer, by the devices' own word. */
export type Rollout = Readonly<{
  title: string;
  revision: bigint;
  /** Call to answer, milliseconds. */
  answerMs: number;
  applied: readonly Readonly<{ deviceId: string; afterMs: number }>[];
  failed: readonly Readonly<{ deviceId: string; reason: string }>[];
}>;

export type FollowOptions = Readonly<{
  login: DemoLogin;
  app: string;
  group: string;
  title: string;
  /** When the call began, milliseconds since 1970. */
  calledAt: number;
  expected: number;
  timeoutMs: number;
  print: (text: string) => void;
  terminal: boolean;
  signal: AbortSignal;
}>;

const LOOK_EVERY_MS = 100;

/** Watches the devices' newest statuses until all that are expected have applied the app's newest revision, or failed. */
export async function followRollout(options: FollowOptions): Promise<Rollout> {
  const { login, app, expected, title, calledAt, timeoutMs, print, terminal, signal } = options;
  using channel = new GrpcChannel(login.grpcAddress, credentials.createInsecure());
  const call = { headers: { authorization: authorizationOf({ kind: "password", user: "admin", password: login.password }) } };
  const stored = await channel.unary(AppService.method.getApp, { name: app }, call);
  const revision = stored.app?.revision ?? 0n;
  const answeredAt = stored.lastChange?.at === undefined ? calledAt : timestampMs(stored.lastChange.at);
  const applied = new Map<string, number>();
  let failed: { deviceId: string; reason: string }[] = [];
  const end = performance.now() + timeoutMs;
  for (;;) {
    const devices = await allDevices(channel, options.group, call);
    failed = [];
    for (const device of devices) {
      const status = device.report?.apps.find(({ name }) => name === app);
      if (status === undefined || status.revision < revision) continue;
      if (status.state === TargetState.FAILED) failed.push({ deviceId: device.deviceId, reason: status.reason });
      if (status.appliedRevision < revision || applied.has(device.deviceId)) continue;
      const reportedAt = device.report?.createdAt === undefined ? Date.now() : timestampMs(device.report.createdAt);
      applied.set(device.deviceId, Math.max(0, reportedAt - answeredAt));
    }
    const done = applied.size + failed.length >= expected || performance.now() > end || signal.aborted;
    const line = progressLine({ app, revision, applied: applied.size, failed: failed.length, expected, seconds: (Date.now() - answeredAt) / 1000 });
    if (terminal) print(`\r  ${line}${done ? "\n" : ""}`);
    else if (done) print(`  ${line}\n`);
    if (done) break;
    await systemClock.sleep(LOOK_EVERY_MS, signal).catch(() => {});
  }
  return {
    title,
    revision,
    answerMs: Math.max(0, answeredAt - calledAt),
    applied: [...applied].map(([deviceId, afterMs]) => ({ deviceId, afterMs })),
    failed,
  };
}

async function allDevices(channel: GrpcChannel, deviceGroup: string, call: { headers: Record<string, string> }): Promise<Device[]> {
  const devices: Device[] = [];
  for (let pageToken = ""; ; ) {
    const page = await channel.unary(DeviceService.method.listDevices, { deviceGroup, pageSize: 1000, pageToken }, call);
    devices.push(...page.devices);
    if (page.nextPageToken === "") return devices;
    pageToken = page.nextPageToken;
  }
}
