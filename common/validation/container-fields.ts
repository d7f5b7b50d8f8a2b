import type { App } from "../../gen/nebula/v1/app_pb.ts";
import type { Violation } from "../errors/nebula-error.ts";
import { validateCapabilities } from "./capabilities.ts";
import { validateDevices } from "./devices.ts";
import { validateEnvVars } from "./env-vars.ts";
import { parseImageReference } from "./image-reference.ts";
import { validateLabels } from "./labels.ts";
import { validateLimits } from "./limits.ts";
import { validateLogging } from "./logging.ts";
import { validateNetworks } from "./networks.ts";
import { validateProcessFields } from "./process-fields.ts";
import { validateTmpfs } from "./tmpfs.ts";
import { validateUlimits } from "./ulimits.ts";
import { validateVolumes } from "./volumes.ts";

/** What an app and a cron_job share: what their containers are made of. */
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
