/** The specification of an app as people read it: what is not its default, in plain words. Pure. */
import { printableLine } from "../../../../../common/printable.ts";
import { enumWord } from "../../../../../common/text/enum-words.ts";
import { type App, type ContainersPer, PortProtocol } from "../../../../../gen/nebula/v1/app_pb.ts";
import { type Healthcheck, PullPolicySchema } from "../../../../../gen/nebula/v1/container_pb.ts";

/** A field by its name in a resource file, what it is, and its values, a line each. */
export type SpecField = Readonly<{ field: string; label: string; values: readonly string[] }>;

/** The fields of an app in the order in which they are asked for; those that are at their default are left out, but the first three. */
export function appSpec(app: App): readonly SpecField[] {
  const fields: readonly (readonly [field: string, label: string, values: readonly string[]])[] = [
    ["docker_image", "Image", [app.dockerImage]],
    ["running", "Runs", [app.running === false ? "no, it is stopped" : "yes"]],
    ["containers_per", "Containers", [containers(app.containersPer)]],
    ["starting_ports", "Ports", app.startingPorts.map(port)],
    ["env_vars", "Environment", variables(app.envVars)],
    ["secret_env_vars", "Secrets", variables(app.secretEnvVars)],
    ["volumes", "Volumes", app.volumes],
    ["networks", "Networks", app.networks],
    ["devices", "Devices of the host", app.devices],
    ["command", "Command", words(app.command)],
    ["entrypoint", "Entrypoint", words(app.entrypoint)],
    ["healthcheck", "Health check", app.healthcheck === undefined ? [] : health(app.healthcheck)],
    ["rolling_restart", "Rolling restart", yes(app.rollingRestart)],
    ["min_healthy_ms", "Counts as well after", app.minHealthyMs === undefined || app.minHealthyMs === 10_000 ? [] : [duration(app.minHealthyMs)]],
    ["cpus", "Cores", app.cpus === 0 ? [] : [`at most ${app.cpus}`]],
    ["memory_limit_mb", "Memory", app.memoryLimitMb === 0 ? [] : [`at most ${app.memoryLimitMb} MB`]],
    ["shm_size_mb", "Shared memory", app.shmSizeMb === 0 ? [] : [`${app.shmSizeMb} MB`]],
    ["pull_policy", "Pulled", pulled(enumWord(PullPolicySchema, app.pullPolicy))],
    ["privileged", "Privileged", yes(app.privileged)],
    ["cap_add", "Capabilities added", app.capAdd],
    ["cap_drop", "Capabilities dropped", app.capDrop],
    ["user", "User", text(app.user)],
    ["working_dir", "Directory", text(app.workingDir)],
    ["hostname", "Host name", text(app.hostname)],
    ["extra_hosts", "Hosts", app.extraHosts],
    ["tmpfs", "Temporary file systems", Object.entries(app.tmpfs).map(([path, options]) => (options === "" ? path : `${path} (${options})`))],
    ["read_only", "Root file system", app.readOnly ? ["read-only"] : []],
    ["init", "Init", app.init ? ["runs as process 1"] : []],
    ["ulimits", "Limits", app.ulimits.map(({ name, soft, hard }) => `${name} ${soft}:${hard}`)],
    ["labels", "Labels", variables(app.labels)],
    ["logging", "Logging", app.logging === undefined ? [] : [app.logging.driver, ...variables(app.logging.options)]],
    [
      "stop_grace_seconds",
      "Time to stop",
      app.stopGraceSeconds === undefined || app.stopGraceSeconds === 10 ? [] : [duration(app.stopGraceSeconds * 1000)],
    ],
    ["renew_anonymous_volumes", "Anonymous volumes", app.renewAnonymousVolumes ? ["start empty"] : []],
  ];
  return fields
    .filter(([, , values]) => values.length > 0)
    .map(([field, label, values]) => ({ field, label, values: values.map((value) => printableLine(value)) }));
}

function containers(per: ContainersPer | undefined): string {
  switch (per?.per.case) {
    case "cpu":
      return `${per.per.value} per core`;
    case "memoryMb":
      return `1 per ${per.per.value} MB of memory`;
    default:
      return `${per?.per.value ?? 1} per device`;
  }
}

function port({ hostAddress, hostPort, containerPort, protocol }: App["startingPorts"][number]): string {
  const address = hostAddress === "" ? "" : `${hostAddress.includes(":") ? `[${hostAddress}]` : hostAddress}:`;
  return `${address}${hostPort} to ${containerPort}${protocol === PortProtocol.UDP ? ", UDP" : ""}`;
}

function variables(values: Readonly<Record<string, string>>): readonly string[] {
  return Object.entries(values)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, value]) => `${name}=${value}`);
}

function health({ test, intervalMs, timeoutMs, retries, startPeriodMs }: Healthcheck): readonly string[] {
  const times = [
    intervalMs === 0 ? [] : [`every ${duration(intervalMs)}`],
    timeoutMs === 0 ? [] : [`fails after ${duration(timeoutMs)}`],
    retries === 0 ? [] : [`unhealthy after ${retries} failures`],
    startPeriodMs === 0 ? [] : [`not counted for ${duration(startPeriodMs)}`],
  ].flat();
  const [kind, ...rest] = test;
  const what = kind === "NONE" ? "switched off" : kind === "CMD" ? (words(rest)[0] ?? "") : kind === "CMD-SHELL" ? rest.join(" ") : "the image's";
  return [what, ...times];
}

/** `750 ms`, `10 s`. */
function duration(ms: number): string {
  return ms % 1000 === 0 ? `${ms / 1000} s` : `${ms} ms`;
}

/** Words of a command in one line; one with blanks is in quotes. */
function words(command: readonly string[]): readonly string[] {
  return command.length === 0 ? [] : [command.map((word) => (/^\S+$/.test(word) ? word : JSON.stringify(word))).join(" ")];
}

function pulled(policy: string): readonly string[] {
  const said: Readonly<Record<string, string>> = { always: "before every container", missing: "where it is not on the device", never: "never" };
  return policy === "" ? [] : [said[policy] ?? policy];
}

function text(value: string): readonly string[] {
  return value === "" ? [] : [value];
}

function yes(value: boolean): readonly string[] {
  return value ? ["yes"] : [];
}
