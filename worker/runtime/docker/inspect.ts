import type { ContainerSpec, HealthcheckSpec, PortBinding } from "../../../common/desired/container-spec.ts";
import { canonicalAddress } from "../../../common/net/published-address.ts";
import { splitNameValue } from "../../../common/text/name-value.ts";
import { normaliseImageReference } from "../../../common/validation/container/image-reference.ts";
import { type AnonymousVolume, isAnonymousName } from "../anonymous-volumes.ts";
import type { ContainerDetails, ImageDetails, ObservedContainer } from "../container-runtime.ts";
import { type Json, listOf, numberOf, recordOf, textMapOf, textOf, textsOf, timeOf } from "../json.ts";
import { LIMITED_LOG } from "./create.ts";
import { textWithoutEnv } from "./errors.ts";
import { distinctPorts, healthOf, hostPort, networkIdsOf, phaseOf, referencesOf } from "./list.ts";

const NANOSECONDS_PER_MS = 1_000_000;
const NANOSECONDS_PER_CORE = 1_000_000_000;
const DEFAULT_SHM_BYTES = 64 * 1024 * 1024;

/** `GET /containers/ID/json` as the plan sees it. */
export function inspectedContainer(answer: unknown): ObservedContainer {
  const item = recordOf(answer);
  const state = recordOf(item.State);
  const config = recordOf(item.Config);
  const phase = phaseOf(state.Status);
  const healthOutput = healthOutputOf(recordOf(state.Health), textsOf(config.Env));
  const carriedVolumes = carriedVolumesOf(item);
  return {
    id: textOf(item.Id),
    name: textOf(item.Name).replace(/^\//, ""),
    labels: textMapOf(config.Labels),
    phase,
    health: healthOf(recordOf(state.Health).Status),
    image: textOf(config.Image),
    imageId: textOf(item.Image),
    hostPorts: hostPortsOf(item),
    networks: networksOf(item),
    networkIds: networkIdsOf(item),
    createdAt: timeOf(item.Created) ?? 0,
    startedAt: timeOf(state.StartedAt),
    finishedAt: timeOf(state.FinishedAt),
    exitCode: phase === "exited" || phase === "dead" || phase === "restarting" ? numberOf(state.ExitCode) : undefined,
    ...(state.OOMKilled === true && phase !== "running" && { outOfMemory: { limitBytes: numberOf(recordOf(item.HostConfig).Memory) } }),
    ...(healthOutput !== undefined && { healthOutput }),
    restartCount: numberOf(item.RestartCount),
    ...(carriedVolumes.length > 0 && { carriedVolumes }),
  };
}

/** The last line or so is where a check says why it fails. */
const HEALTH_OUTPUT_CHARACTERS = 200;

function healthOutputOf(health: Json, env: readonly string[]): string | undefined {
  const last = recordOf(listOf(health.Log).at(-1));
  if (healthOf(health.Status) !== "unhealthy" || numberOf(last.ExitCode) === 0) return undefined;
  const text = textWithoutEnv(textOf(last.Output), env).replace(/\s+/g, " ").trim();
  return text.slice(-HEALTH_OUTPUT_CHARACTERS) || undefined;
}

/**
 * `GET /containers/ID/json` with the whole spec. Command, entrypoint, user and the like are as the container has them: the image's, where the
 * container's maker gave none (`ImageDetails` tells those).
 * @param daemonLogDriver the driver of containers whose maker named none
 */
export function inspectedDetails(answer: unknown, daemonLogDriver: string): ContainerDetails {
  const item = recordOf(answer);
  const host = recordOf(item.HostConfig);
  const env = textsOf(recordOf(item.Config).Env);
  const restartPolicy = textOf(recordOf(host.RestartPolicy).Name) || "no";
  return {
    container: inspectedContainer(answer),
    env,
    portBindings: portBindingsOf(host),
    binds: textsOf(host.Binds),
    devices: listOf(host.Devices).map(deviceOf),
    anonymousVolumes: anonymousVolumesOf(item),
    privileged: host.Privileged === true,
    restartPolicy,
    spec: specOf(item, daemonLogDriver),
  };
}

function specOf(item: Json, daemonLogDriver: string): ContainerSpec {
  const host = recordOf(item.HostConfig);
  const config = recordOf(item.Config);
  const hostname = textOf(config.Hostname);
  const shmBytes = numberOf(host.ShmSize);
  return {
    image: normaliseImageReference(textOf(config.Image)),
    env: Object.fromEntries(textsOf(config.Env).map(splitNameValue)),
    ports: portBindingsOf(host),
    networks: networksOf(item),
    volumes: textsOf(host.Binds),
    devices: listOf(host.Devices).map(deviceOf),
    privileged: host.Privileged === true,
    restartPolicy: recordOf(host.RestartPolicy).Name === "unless-stopped" ? "unless-stopped" : "no",
    command: commandOf(config.Cmd),
    entrypoint: commandOf(config.Entrypoint),
    healthcheck: healthcheckOf(config.Healthcheck),
    cpus: numberOf(host.NanoCpus) / NANOSECONDS_PER_CORE,
    memoryBytes: numberOf(host.Memory),
    logging: loggingOf(recordOf(host.LogConfig), daemonLogDriver),
    labels: textMapOf(config.Labels),
    capAdd: textsOf(host.CapAdd),
    capDrop: textsOf(host.CapDrop),
    ulimits: listOf(host.Ulimits).map((entry) => {
      const { Name, Soft, Hard } = recordOf(entry);
      return { name: textOf(Name), soft: numberOf(Soft), hard: numberOf(Hard) };
    }),
    user: textOf(config.User),
    workingDir: textOf(config.WorkingDir),
    hostname: isDefaultHostname(item, hostname) ? "" : hostname,
    extraHosts: textsOf(host.ExtraHosts),
    shmBytes: shmBytes === DEFAULT_SHM_BYTES ? 0 : shmBytes,
    tmpfs: textMapOf(host.Tmpfs),
    readOnly: host.ReadonlyRootfs === true,
    init: host.Init === true,
  };
}

/** The anonymous volumes of an inspected container. */
export function anonymousVolumesOf(item: Json): readonly AnonymousVolume[] {
  return listOf(item.Mounts).flatMap((mount) => {
    const { Type, Name, Destination } = recordOf(mount);
    return Type === "volume" && isAnonymousName(textOf(Name)) ? [{ name: textOf(Name), path: textOf(Destination) }] : [];
  });
}

/**
 * Those of its anonymous volumes that an inspected container has from one before it: the engine does not remove them
 * with it.
 */
function carriedVolumesOf(item: Json): readonly string[] {
  const mounts = listOf(recordOf(item.HostConfig).Mounts).map(recordOf);
  return mounts.flatMap(({ Type, Source }) => (Type === "volume" && isAnonymousName(textOf(Source)) ? [textOf(Source)] : []));
}

/** Paths for which an inspected container or image declares a volume. */
export function declaredVolumesOf(item: Json): readonly string[] {
  return Object.keys(recordOf(recordOf(item.Config).Volumes));
}

/** The engine's default is the first 12 digits of the id, with host networking the machine's own name. */
function isDefaultHostname(item: Json, hostname: string): boolean {
  return textOf(item.Id).startsWith(hostname) || recordOf(item.HostConfig).NetworkMode === "host";
}

/** Old engines and clients store a command of one word as a text. */
function commandOf(value: unknown): readonly string[] {
  return typeof value === "string" ? [value] : textsOf(value);
}

/** Ports asked for; 0 for a host port that the engine chooses, or a range. */
function portBindingsOf(host: Json): readonly PortBinding[] {
  return Object.entries(recordOf(host.PortBindings)).flatMap(([key, bindings]) => {
    const [port = "", protocol = "tcp"] = key.split("/");
    if (protocol !== "tcp" && protocol !== "udp") return [];
    return listOf(bindings).map((binding) => {
      const { HostIp, HostPort } = recordOf(binding);
      const address = canonicalAddress(textOf(HostIp)) ?? textOf(HostIp);
      return { hostPort: portNumber(HostPort), containerPort: Number(port), protocol, ...(address === "" ? {} : { address }) };
    });
  });
}

function portNumber(value: unknown): number {
  const port = Number(textOf(value));
  return Number.isInteger(port) ? port : 0;
}

/** The ports that a running container has, or those that another one will ask for. */
function hostPortsOf(item: Json): ObservedContainer["hostPorts"] {
  const published = Object.entries(recordOf(recordOf(item.NetworkSettings).Ports)).flatMap(([key, bindings]) =>
    listOf(bindings).flatMap((binding) => {
      const { HostIp, HostPort } = recordOf(binding);
      return hostPort(portNumber(HostPort), key.split("/")[1] ?? "tcp", textOf(HostIp));
    }),
  );
  const asked = portBindingsOf(recordOf(item.HostConfig)).flatMap((port) => hostPort(port.hostPort, port.protocol, port.address ?? ""));
  return distinctPorts([...published, ...asked]);
}

/** Names of the networks; the one given at create comes first. */
function networksOf(item: Json): readonly string[] {
  const names = Object.keys(recordOf(recordOf(item.NetworkSettings).Networks));
  const mode = textOf(recordOf(item.HostConfig).NetworkMode);
  const first = mode === "default" ? "bridge" : mode;
  return names.includes(first) ? [first, ...names.filter((name) => name !== first)] : names;
}

function deviceOf(value: unknown): string {
  const { PathOnHost, PathInContainer, CgroupPermissions } = recordOf(value);
  return `${textOf(PathOnHost)}:${textOf(PathInContainer)}:${textOf(CgroupPermissions)}`;
}

function healthcheckOf(value: unknown): HealthcheckSpec | undefined {
  const check = recordOf(value);
  const test = textsOf(check.Test);
  if (test.length === 0) return undefined;
  return {
    test,
    intervalMs: numberOf(check.Interval) / NANOSECONDS_PER_MS,
    timeoutMs: numberOf(check.Timeout) / NANOSECONDS_PER_MS,
    retries: numberOf(check.Retries),
    startPeriodMs: numberOf(check.StartPeriod) / NANOSECONDS_PER_MS,
  };
}

/** undefined: what `createBody` gives to a spec without logging. */
function loggingOf(config: Json, daemonLogDriver: string): ContainerSpec["logging"] {
  const driver = textOf(config.Type);
  const options = textMapOf(config.Config);
  const isDefault =
    daemonLogDriver === LIMITED_LOG.Type ? driver === LIMITED_LOG.Type && sameOptions(options, LIMITED_LOG.Config) : driver === daemonLogDriver;
  return isDefault ? undefined : { driver, options };
}

function sameOptions(a: Readonly<Record<string, string>>, b: Readonly<Record<string, string>>): boolean {
  const keys = Object.keys(a);
  return keys.length === Object.keys(b).length && keys.every((key) => a[key] === b[key]);
}

/** `GET /images/REFERENCE/json`. Newer engines leave out what is empty. */
export function inspectedImage(answer: unknown): ImageDetails {
  const item = recordOf(answer);
  const config = recordOf(item.Config);
  const healthcheck = healthcheckOf(config.Healthcheck);
  const [kind] = healthcheck?.test ?? [];
  return {
    id: textOf(item.Id),
    references: referencesOf(item),
    sizeBytes: numberOf(item.Size),
    createdAt: timeOf(item.Created) ?? 0,
    env: textsOf(config.Env),
    hasHealthcheck: kind !== undefined && kind !== "NONE",
    healthcheck,
    command: commandOf(config.Cmd),
    entrypoint: commandOf(config.Entrypoint),
    user: textOf(config.User),
    workingDir: textOf(config.WorkingDir),
    labels: textMapOf(config.Labels),
    volumes: declaredVolumesOf(item),
  };
}
