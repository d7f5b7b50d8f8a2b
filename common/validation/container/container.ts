import type { App } from "../../../gen/nebula/v1/app_pb.ts";
import type { LogConfig } from "../../../gen/nebula/v1/container_pb.ts";
import type { Violation } from "../../errors/nebula-error.ts";
import { entryPath, nearestName, quote } from "../../text/wording.ts";
import { parseImageReference } from "./image-reference.ts";
import { validateLimits, validateUlimits } from "./limits.ts";
import { validateDevices, validateTmpfs, validateVolumes } from "./mounts.ts";
import { validateNetworks } from "./network.ts";
import { validateCapabilities, validateEnvVars, validateProcessFields } from "./process.ts";

/** The fields that an app and a cron_job share: those that their containers are made of. */
export type ContainerFields = Pick<
  App,
  | "dockerImage"
  | "envVars"
  | "secretEnvVars"
  | "networks"
  | "volumes"
  | "devices"
  | "cpus"
  | "memoryLimitMb"
  | "logging"
  | "labels"
  | "capAdd"
  | "capDrop"
  | "ulimits"
  | "user"
  | "workingDir"
  | "hostname"
  | "extraHosts"
  | "tmpfs"
  | "stopGraceSeconds"
>;

export function validateContainerFields(fields: ContainerFields): Violation[] {
  const image = parseImageReference(fields.dockerImage);
  return [
    ...(image.kind === "invalid" ? [{ field: "docker_image", description: image.reason }] : []),
    ...validateEnvVars(fields),
    ...validateNetworks(fields.networks),
    ...validateVolumes(fields.volumes, fields.tmpfs),
    ...validateTmpfs(fields.tmpfs),
    ...validateDevices(fields.devices),
    ...validateLimits(fields),
    ...(fields.logging === undefined ? [] : validateLogging(fields.logging)),
    ...validateLabels(fields.labels),
    ...validateCapabilities("cap_add", fields.capAdd),
    ...validateCapabilities("cap_drop", fields.capDrop),
    ...validateUlimits(fields.ulimits),
    ...validateProcessFields(fields),
  ];
}

const RESERVED = new Set(["orchestrator", "container_type", "app_name", "cron_job_name"]);

/** Whether the worker writes this label itself: whose container it is rests on it. */
function isReservedLabel(key: string): boolean {
  return RESERVED.has(key) || key.startsWith("nebula.");
}

export function validateLabels(labels: Readonly<Record<string, string>>): Violation[] {
  return Object.keys(labels).flatMap((key) => {
    if (key === "") return [{ field: "labels", description: "has a label without a key; a key is at least one character" }];
    if (!isReservedLabel(key)) return [];
    return [
      { field: entryPath("labels", key), description: `is a label of Nebula's own (nebula.*, ${[...RESERVED].join(", ")}); choose another key` },
    ];
  });
}

const DRIVER = /^[a-zA-Z0-9][a-zA-Z0-9_.:/-]*$/;
/** Options that every driver takes. */
const COMMON = ["mode", "max-buffer-size", "cache-disabled", "cache-max-size", "cache-max-file", "cache-compress"];
/** The options of the drivers that write to the device's own disk; those of other drivers are theirs to check. */
const OPTIONS: Readonly<Record<string, readonly string[]>> = {
  "json-file": ["max-size", "max-file", "compress", "labels", "labels-regex", "env", "env-regex", "tag"],
  local: ["max-size", "max-file", "compress"],
};
const SIZE = /^0*[1-9][0-9]*(?:\.[0-9]+)? ?[kKmMgGtTpP]?[iI]?[bB]?$/;
const VALUES: Readonly<Record<string, Readonly<{ pattern: RegExp; example: string }>>> = {
  "max-size": { pattern: SIZE, example: "10m" },
  "max-file": { pattern: /^0*[1-9][0-9]{0,8}$/, example: "3" },
  compress: { pattern: /^(?:true|false)$/, example: "true or false" },
  mode: { pattern: /^(?:blocking|non-blocking)$/, example: "blocking or non-blocking" },
  "max-buffer-size": { pattern: SIZE, example: "1m" },
};

/** Where a container's output goes. */
export function validateLogging({ driver, options }: LogConfig): Violation[] {
  if (!DRIVER.test(driver))
    return [{ field: "logging.driver", description: `invalid log driver ${quote(driver)}; use json-file, local, syslog, journald or none` }];
  const own = Object.hasOwn(OPTIONS, driver) ? OPTIONS[driver] : undefined;
  return Object.entries(options).flatMap(([name, value]) => {
    const field = entryPath("logging.options", name);
    if (own !== undefined && !own.includes(name) && !COMMON.includes(name)) {
      const meant = nearestName(name, own) ?? own.join(", ");
      return [{ field, description: `is not an option of the log driver ${driver}; use ${meant}` }];
    }
    const rule = own !== undefined && Object.hasOwn(VALUES, name) ? VALUES[name] : undefined;
    return rule === undefined || rule.pattern.test(value) ? [] : [{ field, description: `invalid value ${quote(value)}; use ${rule.example}` }];
  });
}
