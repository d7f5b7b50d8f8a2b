import type { ContainerSpec, HealthcheckSpec, PortBinding } from "../../../common/desired/container-spec.ts";
import type { AnonymousVolume } from "../anonymous-volumes.ts";
import type { CreateRequest } from "../container-runtime.ts";
import { familiarReference } from "./reference.ts";

const NANOSECONDS_PER_MS = 1_000_000;
const NANOSECONDS_PER_CORE = 1_000_000_000;

/** The engine's default log driver, of which containers would fill a small disk without a limit. */
export const UNLIMITED_LOG_DRIVER = "json-file";
export const LIMITED_LOG = { Type: UNLIMITED_LOG_DRIVER, Config: { "max-size": "10m", "max-file": "3" } } as const;

/**
 * The body of `POST /containers/create`. Only what the spec asks for is there, so that the engine's and the image's defaults hold for the rest.
 * @param daemonLogDriver the driver that the daemon gives to containers which name none
 * @param carried volumes of the container before: mounted by name, and not in Binds, which stay as the spec says
 */
export function createBody(
  { spec, labels }: CreateRequest,
  daemonLogDriver: string,
  carried: readonly AnonymousVolume[] = [],
): Record<string, unknown> {
  return {
    Image: familiarReference(spec.image),
    Env: Object.entries(spec.env).map(([name, value]) => `${name}=${value}`),
    Labels: { ...spec.labels, ...labels },
    ...(spec.command.length > 0 && { Cmd: spec.command }),
    ...(spec.entrypoint.length > 0 && { Entrypoint: spec.entrypoint }),
    ...(spec.user !== "" && { User: spec.user }),
    ...(spec.workingDir !== "" && { WorkingDir: spec.workingDir }),
    ...(spec.hostname !== "" && { Hostname: spec.hostname }),
    ...(spec.healthcheck !== undefined && { Healthcheck: healthcheckBody(spec.healthcheck) }),
    ...(spec.ports.length > 0 && { ExposedPorts: Object.fromEntries(spec.ports.map((port) => [portKey(port), {}])) }),
    HostConfig: {
      ...hostConfig(spec, daemonLogDriver),
      ...(carried.length > 0 && { Mounts: carried.map(({ name, path }) => ({ Type: "volume", Source: name, Target: path })) }),
    },
  };
}

function hostConfig(spec: ContainerSpec, daemonLogDriver: string): Record<string, unknown> {
  const logging = logConfig(spec, daemonLogDriver);
  const [firstNetwork] = spec.networks;
  return {
    RestartPolicy: { Name: spec.restartPolicy },
    Privileged: spec.privileged,
    ReadonlyRootfs: spec.readOnly,
    ...(firstNetwork !== undefined && { NetworkMode: firstNetwork }),
    ...(spec.ports.length > 0 && { PortBindings: portBindings(spec.ports) }),
    ...(spec.volumes.length > 0 && { Binds: spec.volumes }),
    ...(spec.devices.length > 0 && { Devices: spec.devices.map(deviceBody) }),
    ...(spec.cpus > 0 && { NanoCpus: Math.round(spec.cpus * NANOSECONDS_PER_CORE) }),
    ...(spec.memoryBytes > 0 && { Memory: spec.memoryBytes }),
    ...(spec.capAdd.length > 0 && { CapAdd: spec.capAdd }),
    ...(spec.capDrop.length > 0 && { CapDrop: spec.capDrop }),
    ...(spec.ulimits.length > 0 && { Ulimits: spec.ulimits.map(({ name, soft, hard }) => ({ Name: name, Soft: soft, Hard: hard })) }),
    ...(spec.extraHosts.length > 0 && { ExtraHosts: spec.extraHosts }),
    ...(spec.shmBytes > 0 && { ShmSize: spec.shmBytes }),
    ...(Object.keys(spec.tmpfs).length > 0 && { Tmpfs: spec.tmpfs }),
    ...(spec.init && { Init: true }),
    ...(logging !== undefined && { LogConfig: logging }),
  };
}

function logConfig(spec: ContainerSpec, daemonLogDriver: string): Readonly<Record<string, unknown>> | undefined {
  if (spec.logging !== undefined) return { Type: spec.logging.driver, Config: spec.logging.options };
  return daemonLogDriver === UNLIMITED_LOG_DRIVER ? LIMITED_LOG : undefined;
}

function healthcheckBody({ test, intervalMs, timeoutMs, retries, startPeriodMs }: HealthcheckSpec): Record<string, unknown> {
  return {
    Test: test,
    Interval: intervalMs * NANOSECONDS_PER_MS,
    Timeout: timeoutMs * NANOSECONDS_PER_MS,
    Retries: retries,
    StartPeriod: startPeriodMs * NANOSECONDS_PER_MS,
  };
}

function portKey({ containerPort, protocol }: PortBinding): string {
  return `${containerPort}/${protocol}`;
}

type DockerBinding = Readonly<{ HostPort: string; HostIp?: string }>;

/** One container port may be bound to several host ports. */
function portBindings(ports: readonly PortBinding[]): Record<string, DockerBinding[]> {
  const bindings: Record<string, DockerBinding[]> = {};
  for (const port of ports) {
    const key = portKey(port);
    const binding = { HostPort: String(port.hostPort), ...(port.address === undefined ? {} : { HostIp: port.address }) };
    bindings[key] = [...(bindings[key] ?? []), binding];
  }
  return bindings;
}

/** `host[:container[:rwm]]`; of two parts the second is the permissions when it can be nothing else, as in Docker's own client. */
function deviceBody(device: string): Record<string, string> {
  const [host = "", second = host, third = "rwm"] = device.split(":");
  const permissions = /^[rwm]{1,3}$/.test(second) ? second : third;
  return { PathOnHost: host, PathInContainer: permissions === second ? host : second, CgroupPermissions: permissions };
}
