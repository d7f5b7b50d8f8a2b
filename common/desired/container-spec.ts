import type { App, StartingPort } from "../../gen/nebula/v1/app_pb.ts";
import type { Healthcheck } from "../../gen/nebula/v1/container_pb.ts";
import type { CronJob } from "../../gen/nebula/v1/cron_job_pb.ts";
import { normaliseImageReference } from "../validation/container/image-reference.ts";
import { standsAlone } from "../validation/container/network.ts";
import { protocolOf } from "../validation/ports.ts";

/** The specification of one container: no protobuf, no Docker types. Lists and maps are in the order in which they were given. */
export type ContainerSpec = Readonly<{
  /** Normalised reference: registry/repository:tag or @digest, `latest` and `docker.io/library` filled in as Docker understands them. */
  image: string;
  env: Readonly<Record<string, string>>;
  /** Ports to publish; host ports are already those of this container. */
  ports: readonly PortBinding[];
  /** Networks by name, the first one is given at create. `host` or `none` stands alone. */
  networks: readonly string[];
  /** `host_path_or_volume:container_path[:mode]` */
  volumes: readonly string[];
  /** `host_path[:container_path[:rwm]]` */
  devices: readonly string[];
  privileged: boolean;
  restartPolicy: "unless-stopped" | "no";
  /** Empty: the image's. */
  command: readonly string[];
  /** Empty: the image's. */
  entrypoint: readonly string[];
  healthcheck: HealthcheckSpec | undefined;
  /** Cores; 0: no limit. */
  cpus: number;
  /** Bytes; 0: no limit. */
  memoryBytes: number;
  /** undefined: json-file with 3 files of 10 MB, unless the daemon's default driver is another one. */
  logging: Readonly<{ driver: string; options: Readonly<Record<string, string>> }> | undefined;
  /** The operator's labels; Nebula's own come with CreateRequest. */
  labels: Readonly<Record<string, string>>;
  capAdd: readonly string[];
  capDrop: readonly string[];
  ulimits: readonly Readonly<{ name: string; soft: number; hard: number }>[];
  user: string;
  workingDir: string;
  hostname: string;
  /** `name:address` */
  extraHosts: readonly string[];
  /** Bytes; 0: the engine's default. */
  shmBytes: number;
  tmpfs: Readonly<Record<string, string>>;
  readOnly: boolean;
  init: boolean;
}>;

/** A port of the device. address absent: on every address. */
export type HostPort = Readonly<{ hostPort: number; protocol: "tcp" | "udp"; address?: string }>;

export type PortBinding = HostPort & Readonly<{ containerPort: number }>;

/** Times in milliseconds; 0: the engine's default. */
export type HealthcheckSpec = Readonly<{ test: readonly string[]; intervalMs: number; timeoutMs: number; retries: number; startPeriodMs: number }>;

/** The device variables that are filled in into env values. */
export type DeviceVariables = Readonly<{ deviceId: string; deviceGroup: string }>;

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

const PLACEHOLDER = /\$\$\{|\$\{(NEBULA_DEVICE_ID|NEBULA_DEVICE_GROUP)\}/g;

/**
 * Fills `${NEBULA_DEVICE_ID}` and `${NEBULA_DEVICE_GROUP}` into an env value. Any other `${...}` stays as it is; `$${` is a literal `${`.
 */
function fillDeviceVariables(value: string, { deviceId, deviceGroup }: DeviceVariables): string {
  return value.replace(PLACEHOLDER, (_, name: string | undefined) => {
    if (name === undefined) return "${";
    return name === "NEBULA_DEVICE_ID" ? deviceId : deviceGroup;
  });
}
