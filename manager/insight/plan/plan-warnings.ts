import { toBinary } from "@bufbuild/protobuf";
import { appWarnings, sharedClaimWarning, sharedPortClaims } from "../../../common/validation/ports.ts";
import { type Config, ConfigSchema } from "../../../gen/nebula/v1/config_pb.ts";
import { PlanWarningCode } from "../../../gen/nebula/v1/plan_pb.ts";
import { configSizeWarning } from "../../config/group-config.ts";
import { danglingNames } from "../../entities/group-warnings.ts";
import type { FleetTally } from "./group-tally.ts";

export type Warning = Readonly<{ code: PlanWarningCode; message: string; devices: number }>;

/** Pairs of apps of one group that a warning about a shared port names. */
const CLAIMS_NAMED = 20;

/**
 * Returns warnings of what is allowed in a config, and looks unintended.
 * @param changed names of the apps that the plan changes; a group that it changes itself is looked at whole
 */
export function configWarnings(config: Config, changed: ReadonlySet<string>, isWhole: boolean): Warning[] {
  const apps = config.apps.flatMap(({ app }) => (app === undefined ? [] : [app]));
  const shared = sharedPortClaims(apps, CLAIMS_NAMED)
    .filter(({ holder, other }) => isWhole || changed.has(holder) || changed.has(other))
    .map((claim) => warning(PlanWarningCode.PORT_SHARED, sharedClaimWarning(config.deviceGroup, claim)));
  const ignored = apps
    .filter(({ name }) => changed.has(name))
    .flatMap(appWarnings)
    .map((message) => warning(PlanWarningCode.PORTS_IGNORED, message));
  const size = configSizeWarning(toBinary(ConfigSchema, config).byteLength);
  return [
    ...shared,
    ...ignored,
    ...danglingNames(config).map(missingNameWarning),
    ...(size === undefined ? [] : [warning(PlanWarningCode.CONFIG_LARGE, `device_group ${config.deviceGroup}: ${size}`)]),
  ];
}

/** A warning about a name of something that does not exist. */
export function missingNameWarning(message: string): Warning {
  return warning(PlanWarningCode.DANGLING_NAME, message);
}

/** Returns warnings of the devices that a plan reaches. */
export function fleetWarnings({ lowDisk, tooOld: { devices: tooOld }, refused }: FleetTally): Warning[] {
  const counts = [...refused].map(([name, devices]) =>
    warning(
      PlanWarningCode.COUNT_INVALID,
      `${devicesText(devices)} can't run the number of containers that app ${name} asks for; what runs there is left as it is`,
      devices,
    ),
  );
  const disk = `${devicesText(lowDisk)} ${lowDisk === 1 ? "has" : "have"} less free disk than the image takes now`;
  const old = `${devicesText(tooOld)} ${tooOld === 1 ? "has a worker that does" : "have workers that do"} not know all fields; upgrade them first`;
  return [
    ...(lowDisk === 0 ? [] : [warning(PlanWarningCode.DISK_FULL, disk, lowDisk)]),
    ...(tooOld === 0 ? [] : [warning(PlanWarningCode.WORKER_TOO_OLD, old, tooOld)]),
    ...counts,
  ];
}

function devicesText(count: number): string {
  return `${count} device${count === 1 ? "" : "s"}`;
}

function warning(code: PlanWarningCode, message: string, devices = 0): Warning {
  return { code, message, devices };
}
