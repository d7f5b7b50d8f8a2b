import { timestampMs } from "@bufbuild/protobuf/wkt";
import type { GrpcChannel } from "../../../../common/rpc/grpc-channel.ts";
import { AppService } from "../../../../gen/nebula/v1/app_pb.ts";
import { type Device, DeviceService } from "../../../../gen/nebula/v1/device_pb.ts";
import { TargetState } from "../../../../gen/nebula/v1/report_pb.ts";
import { connect, type DemoLogin } from "./fleet.ts";

/** How a change reached the devices, as their newest reports say. */
export type Rollout = Readonly<{
  title: string;
  revision: bigint;
  /** Times are milliseconds after the change was stored: of the report, less the time that the device had run the revision by then. */
  applied: readonly Readonly<{ deviceId: string; afterMs: number }>[];
  failed: readonly Readonly<{ deviceId: string; reason: string }>[];
}>;

/** Reads once how the newest revision of an app stands on the devices of a group. */
export async function readRollout({
  login,
  app,
  group,
  title,
}: Readonly<{ login: DemoLogin; app: string; group: string; title: string }>): Promise<Rollout> {
  using api = connect(login);
  const { channel, call } = api;
  const stored = await channel.unary(AppService.method.getApp, { name: app }, call);
  const revision = stored.app?.revision ?? 0n;
  const changedAt = stored.lastChange?.at === undefined ? 0 : timestampMs(stored.lastChange.at);
  const known = (await allDevices(channel, group, call)).flatMap(({ deviceId, report }) => {
    const status = report?.apps.find(({ name }) => name === app);
    return status === undefined || report?.receivedAt === undefined || status.revision < revision
      ? []
      : [{ deviceId, status, reportedAt: timestampMs(report.receivedAt) }];
  });
  return {
    title,
    revision,
    applied: known
      .filter(({ status }) => status.appliedRevision >= revision)
      .map(({ deviceId, status, reportedAt }) => ({ deviceId, afterMs: Math.max(0, reportedAt - Number(status.stateForMs) - changedAt) })),
    failed: known
      .filter(({ status }) => status.state === TargetState.FAILED)
      .map(({ deviceId, status }) => ({ deviceId, reason: `${status.step}: ${status.reason}` })),
  };
}

/** How many devices of a group have a watch open; 0 while the server knows neither the group nor devices of it. */
export async function countOnline(login: DemoLogin, deviceGroup: string): Promise<number> {
  using api = connect(login);
  const { deviceGroups } = await api.channel.unary(DeviceService.method.countDevices, {}, api.call);
  return Number(deviceGroups.find((counts) => counts.deviceGroup === deviceGroup)?.online ?? 0);
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

/** Summarizes what happened, and how fast. */
export function summary(rollouts: readonly Rollout[], expected: number): string[] {
  return [
    "",
    "What happened",
    ...rollouts.flatMap(({ title, revision, applied, failed }, i) => {
      const times = applied.map(({ afterMs }) => afterMs).sort((a, b) => a - b);
      const real = applied.find(({ deviceId }) => deviceId === "this-machine");
      const half = times[Math.floor((times.length - 1) / 2)];
      const last = times.at(-1);
      return [
        `  ${i + 1}. ${title} (revision ${revision})`,
        `     ${applied.length} of ${expected} devices run it: half of them within ${shown(half)}, the last after ${shown(last)}`,
        ...(real === undefined ? [] : [`     this machine's containers ran after ${shown(real.afterMs)}`]),
        ...failed.map(({ deviceId, reason }) => `     ${deviceId} failed: ${reason}`),
      ];
    }),
    "  (simulated pulls take up to 400 ms; times count from the moment the change was stored)",
  ];
}

function shown(ms: number | undefined): string {
  return ms === undefined ? "-" : ms < 1000 ? `${ms.toFixed(0)} ms` : `${(ms / 1000).toFixed(1)} s`;
}
