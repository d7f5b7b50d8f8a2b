import { normaliseImageReference } from "../common/validation/image-reference.ts";
import { standsAlone } from "../common/validation/networks.ts";
import { protocolOf } from "../common/validation/ports.ts";
import type { App, StartingPort } from "../gen/nebula/v1/app_pb.ts";
import type { Healthcheck } from "../gen/nebula/v1/container_pb.ts";
import type { CronJob } from "../gen/nebula/v1/cron_job_pb.ts";
import { type DeviceVariables, fillDeviceVariables } from "./device-variables.ts";
import type { ContainerSpec, HealthcheckSpec, PortBinding } from "./runtime/container-runtime.ts";

/** The network that every container is on, unless its app names `host` or `none` first. */
export const NEBULA_NETWORK = "nebula";

const BYTES_PER_MB = 1024 * 1024;

/** The spec of an app's containers but for their ports. */
export function specOfApp(app: App, variables: DeviceVariables): ContainerSpec {
  return { ...commonSpec(app, variables), restartPolicy: "unless-stopped", healthcheck: healthcheckOf(app.healthcheck) };
}

/** The spec of a cron_job's containers. */
export function specOfCronJob(cronJob: CronJob, variables: DeviceVariables): ContainerSpec {
  return { ...commonSpec(cronJob, variables), restartPolicy: "no", healthcheck: undefined };
}

function commonSpec(entity: App | CronJob, variables: DeviceVariables): Omit<ContainerSpec, "restartPolicy" | "healthcheck"> {
  return {
    image: normaliseImageReference(entity.dockerImage),
    env: envOf(entity, variables),
    ports: [],
    networks: containerNetworks(entity.networks),
    volumes: entity.volumes,
    devices: entity.devices,
    privileged: entity.privileged,
    command: entity.command,
    entrypoint: entity.entrypoint,
    cpus: entity.cpus,
    memoryBytes: entity.memoryLimitMb * BYTES_PER_MB,
    logging: entity.logging && { driver: entity.logging.driver, options: entity.logging.options },
    labels: entity.labels,
    capAdd: entity.capAdd,
    capDrop: entity.capDrop,
    ulimits: entity.ulimits.map(({ name, soft, hard }) => ({ name, soft: Number(soft), hard: Number(hard) })),
    user: entity.user,
    workingDir: entity.workingDir,
    hostname: entity.hostname,
    extraHosts: entity.extraHosts,
    shmBytes: entity.shmSizeMb * BYTES_PER_MB,
    tmpfs: entity.tmpfs,
    readOnly: entity.readOnly,
    init: entity.init,
  };
}

/** To a container a secret variable is one like any other. */
function envOf({ envVars, secretEnvVars }: App | CronJob, variables: DeviceVariables): Record<string, string> {
  const all = Object.entries({ ...envVars, ...secretEnvVars });
  return Object.fromEntries(all.map(([name, value]) => [name, fillDeviceVariables(value, variables)]));
}

/** A first entry host or none stands alone; otherwise nebula comes first, then each listed one. An empty list is nebula and bridge. */
function containerNetworks(listed: readonly string[]): readonly string[] {
  const [first] = listed;
  if (first === undefined) return [NEBULA_NETWORK, "bridge"];
  if (standsAlone(listed)) return [first];
  return [...new Set([NEBULA_NETWORK, ...listed])];
}

/** The ports of the container with this index, counted from 1: entry p binds host port p + index - 1. */
export function portsAt(ports: readonly StartingPort[], index: number): readonly PortBinding[] {
  return ports.map(({ hostAddress, hostPort, containerPort, protocol }) => ({
    hostPort: hostPort + index - 1,
    containerPort,
    protocol: protocolOf(protocol),
    ...(hostAddress === "" ? {} : { address: hostAddress }),
  }));
}

function healthcheckOf(check: Healthcheck | undefined): HealthcheckSpec | undefined {
  if (check === undefined) return undefined;
  const { test, intervalMs, timeoutMs, retries, startPeriodMs } = check;
  return { test, intervalMs, timeoutMs, retries, startPeriodMs };
}
