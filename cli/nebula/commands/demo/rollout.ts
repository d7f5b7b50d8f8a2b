import { timestampMs } from "@bufbuild/protobuf/wkt";
import { credentials } from "@grpc/grpc-js";
import { authorizationOf } from "../../../../common/access/authorization.ts";
import { systemClock } from "../../../../common/clock/system-clock.ts";
import { GrpcChannel } from "../../../../common/rpc/grpc-channel.ts";
import { AppService } from "../../../../gen/nebula/v1/app_pb.ts";
import { type Device, DeviceService } from "../../../../gen/nebula/v1/device_pb.ts";
import { TargetState } from "../../../../gen/nebula/v1/report_pb.ts";
import type { DemoLogin } from "./fleet.ts";

/** The course of one change. Times are milliseconds after the answer of the API, as reported by the devices. */
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

/**
 * Follows the newest status of each device until the expected number has applied the newest revision of the app, or
 * failed.
 */
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
      const reportedAt = device.report?.receivedAt === undefined ? Date.now() : timestampMs(device.report.receivedAt);
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

/** All devices whose newest report is of this group. */
export async function allDevices(channel: GrpcChannel, deviceGroup: string, call: { headers: Record<string, string> }): Promise<Device[]> {
  const devices: Device[] = [];
  for (let pageToken = ""; ; ) {
    const page = await channel.unary(DeviceService.method.listDevices, { deviceGroup, pageSize: 1000, pageToken }, call);
    devices.push(...page.devices);
    if (page.nextPageToken === "") return devices;
    pageToken = page.nextPageToken;
  }
}

type Progress = Readonly<{ app: string; revision: bigint; applied: number; failed: number; expected: number; seconds: number }>;

const BAR_WIDTH = 24;

/** The progress of a change in one line: `hello @2   87/101 applied  ####################----  1.2 s` */
function progressLine({ app, revision, applied, failed, expected, seconds }: Progress): string {
  const filled = expected === 0 ? BAR_WIDTH : Math.floor((applied / expected) * BAR_WIDTH);
  const bar = `${"#".repeat(filled)}${"-".repeat(BAR_WIDTH - filled)}`;
  const failures = failed === 0 ? "" : `  ${failed} failed`;
  return `${app} @${revision}  ${String(applied).padStart(String(expected).length)}/${expected} applied${failures}  ${bar}  ${seconds.toFixed(1)} s`;
}

/** Summarizes what happened, and how fast. */
export function summary(rollouts: readonly Rollout[], expected: number): string[] {
  return [
    "",
    "What happened",
    ...rollouts.flatMap(({ title, revision, answerMs, applied, failed }, i) => {
      const times = applied.map(({ afterMs }) => afterMs).sort((a, b) => a - b);
      const real = applied.find(({ deviceId }) => deviceId === "this-machine");
      const half = times[Math.floor((times.length - 1) / 2)];
      const last = times.at(-1);
      return [
        `  ${i + 1}. ${title} (revision ${revision}): the API answered after ${answerMs.toFixed(0)} ms`,
        `     ${applied.length} of ${expected} devices run it: half of them within ${shown(half)}, the last after ${shown(last)}`,
        ...(real === undefined ? [] : [`     this machine's containers ran after ${shown(real.afterMs)}`]),
        ...failed.map(({ deviceId, reason }) => `     ${deviceId} failed: ${reason}`),
      ];
    }),
    "  (simulated pulls take up to 400 ms; times are those at which reports arrived, and count from the moment the change was stored)",
  ];
}

function shown(ms: number | undefined): string {
  return ms === undefined ? "-" : ms < 1000 ? `${ms.toFixed(0)} ms` : `${(ms / 1000).toFixed(1)} s`;
}
