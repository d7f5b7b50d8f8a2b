import { clone, create } from "@bufbuild/protobuf";
import { type App, AppSchema, ContainersPerSchema, PortProtocol } from "../../gen/nebula/v1/app_pb.ts";
import { type CronJob, CronJobSchema, CronOverlap } from "../../gen/nebula/v1/cron_job_pb.ts";
import { type DeviceGroup, DeviceGroupSchema } from "../../gen/nebula/v1/device_group_pb.ts";
import { type UserGroup, UserGroupSchema } from "../../gen/nebula/v1/user_group_pb.ts";
import { canonicalAddress } from "../net/published-address.ts";

/*
 * The normal form, in which entities are stored, answered and compared: every field whose default is Nebula's own and not zero is there. So a default that changes
 * with a later version changes nothing that is stored, a reader needs no defaults, and two messages that mean the same are the same. Zeros that stand for an
 * engine's or an image's default stay zeros: that default is the device's.
 */

/** The value of a field that is not given. */
export const DEFAULTS = {
  running: true,
  containers: 1,
  /** Milliseconds. */
  minHealthyMs: 10_000,
  /** Seconds. */
  stopGraceSeconds: 10,
  spread: 1,
} as const;

/** A copy of the app in normal form. */
export function normaliseApp(app: App): App {
  const normal = clone(AppSchema, app);
  normal.running ??= DEFAULTS.running;
  normal.containersPer ??= create(ContainersPerSchema, { per: { case: "server", value: DEFAULTS.containers } });
  normal.minHealthyMs ??= DEFAULTS.minHealthyMs;
  normal.stopGraceSeconds ??= DEFAULTS.stopGraceSeconds;
  for (const port of normal.startingPorts) {
    if (port.protocol === PortProtocol.UNSPECIFIED) port.protocol = PortProtocol.TCP;
    port.hostAddress = canonicalAddress(port.hostAddress) ?? port.hostAddress;
  }
  return normal;
}

/** A copy of the cron_job in normal form. */
export function normaliseCronJob(cronJob: CronJob): CronJob {
  const normal = clone(CronJobSchema, cronJob);
  normal.running ??= DEFAULTS.running;
  normal.stopGraceSeconds ??= DEFAULTS.stopGraceSeconds;
  if (normal.overlap === CronOverlap.UNSPECIFIED) normal.overlap = CronOverlap.SKIP;
  return normal;
}

/** A copy of the device_group in normal form. */
export function normaliseDeviceGroup(group: DeviceGroup): DeviceGroup {
  const normal = clone(DeviceGroupSchema, group);
  if (normal.spread === 0) normal.spread = DEFAULTS.spread;
  return normal;
}

/** A copy of the user_group in normal form: all its defaults are zeros. Its members keep the order in which they were given. */
export function normaliseUserGroup(group: UserGroup): UserGroup {
  return clone(UserGroupSchema, group);
}

/** The fields that only the managers write, by proto names. */
export const OUTPUT_ONLY: Readonly<Record<"app" | "cron_job" | "device_group" | "user_group", readonly string[]>> = {
  app: ["revision", "restart_count"],
  cron_job: ["revision"],
  device_group: ["revision", "prune_id"],
  user_group: ["revision"],
};
