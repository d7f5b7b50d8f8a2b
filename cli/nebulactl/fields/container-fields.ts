import { create } from "@bufbuild/protobuf";
import { NebulaError } from "../../../common/errors/nebula-error.ts";
import type { App } from "../../../gen/nebula/v1/app_pb.ts";
import { type LogConfig, LogConfigSchema, PullPolicy } from "../../../gen/nebula/v1/container_pb.ts";
import type { CronJob } from "../../../gen/nebula/v1/cron_job_pb.ts";
import type { TextFlag } from "../command/flags.ts";
import { type Field, field, listField, numberField, repeatedField, textField, toggleField } from "./field.ts";
import { parsePair, parseUlimit, parseWords } from "./text-values.ts";

/** The fields that apps and cron_jobs have in common. */
export type ContainerFields = Pick<App, Exclude<keyof App & keyof CronJob, "$typeName" | "$unknown">>;

const PULL_POLICIES: Readonly<Record<string, PullPolicy>> = {
  default: PullPolicy.UNSPECIFIED,
  always: PullPolicy.ALWAYS,
  missing: PullPolicy.MISSING,
  never: PullPolicy.NEVER,
};

export const IMAGE: TextFlag = {
  kind: "text",
  name: "image",
  aliases: ["docker-image"],
  short: "i",
  placeholder: "IMAGE",
  help: "The image: shop:1.5, or registry:5000/shop:1.5.",
};

/** The fields that the original tool has flags for, with its flags. */
export const v2ContainerFields: readonly Field<ContainerFields>[] = [
  field([IMAGE], "docker_image", (values) => {
    const dockerImage = values.text(IMAGE);
    return dockerImage === undefined ? undefined : { dockerImage };
  }),
  toggleField("running", { name: "running", short: "r", off: "stopped", offShort: "s", help: "Whether it runs. Default: running." }, (running) => ({
    running,
  })),
  // In v2 an explicit empty list means the network nebula alone; in the API an empty list is the default, nebula and
  // bridge.
  listField(
    "networks",
    {
      name: "networks",
      short: "n",
      aliases: ["network"],
      placeholder: "A,B",
      help: "Networks. Default: nebula,bridge; an empty list: nebula; host or none stands alone.",
    },
    (networks) => ({ networks: networks.length === 0 ? ["nebula"] : networks }),
  ),
  listField(
    "volumes",
    {
      name: "volumes",
      aliases: ["volume"],
      short: "v",
      placeholder: "HOST:DIR[:ro],...",
      help: "Mounts: a host path or volume, and its path in the container. Repeat it for more.",
    },
    (volumes) => ({ volumes }),
  ),
  listField(
    "devices",
    {
      name: "devices",
      aliases: ["device"],
      short: "d",
      placeholder: "HOST[:DEV[:rwm]],...",
      help: "Devices of the host. Repeat it for more.",
    },
    (devices) => ({ devices }),
  ),
  toggleField(
    "privileged",
    { name: "privileged", short: "P", off: "unprivileged", offShort: "U", help: "Whether it has all rights of the host. Default: unprivileged." },
    (privileged) => ({
      privileged,
    }),
  ),
];

const LOG_DRIVER: TextFlag = {
  kind: "text",
  name: "log-driver",
  placeholder: "DRIVER",
  help: "The log driver: json-file, local, syslog, journald, none, ...",
};
const LOG_OPTION: TextFlag = {
  kind: "text",
  name: "log-opt",
  placeholder: "K=V",
  repeatable: true,
  help: "One option of the log driver. Repeat it for more.",
};

/** The log configuration, which is replaced as a whole. */
const logField: Field<{ logging: LogConfig }> = field([LOG_DRIVER, LOG_OPTION], "logging", (values) => {
  const driver = values.text(LOG_DRIVER);
  if (driver === undefined) {
    if (!values.has(LOG_OPTION)) return undefined;
    throw new NebulaError("invalid_argument", "--log-opt without --log-driver; the log configuration is replaced as a whole");
  }
  const options = Object.fromEntries(values.all(LOG_OPTION).map((pair) => parsePair(pair, "--log-opt")));
  return { logging: create(LogConfigSchema, { driver, options }) };
});

/** The fields that v2 lacks. */
export const moreContainerFields: readonly Field<ContainerFields>[] = [
  textField(
    "command",
    {
      name: "command",
      placeholder: "LINE",
      help: 'Replaces the command of the image: words as in a shell, or a JSON list. "" restores the one of the image.',
    },
    (text, label) => ({
      command: parseWords(text, label),
    }),
  ),
  textField(
    "entrypoint",
    { name: "entrypoint", placeholder: "LINE", help: "Replaces the entrypoint of the image, in the same form." },
    (text, label) => ({
      entrypoint: parseWords(text, label),
    }),
  ),
  numberField("cpus", { name: "cpus", placeholder: "N", min: 0, help: "The most cores per container. 0: no limit." }, (cpus) => ({ cpus })),
  numberField(
    "memory_limit_mb",
    { name: "memory-limit-mb", placeholder: "MB", min: 0, integer: true, help: "The most memory per container. 0: no limit." },
    (memoryLimitMb) => ({
      memoryLimitMb,
    }),
  ),
  logField,
  repeatedField(
    "labels",
    { name: "label", aliases: ["labels"], placeholder: "K=V", help: "One label of the containers; on update these replace all. Repeat it for more." },
    (items, label) => ({
      labels: pairs(items, label),
    }),
  ),
  listField("cap_add", { name: "cap-add", placeholder: "A,B", help: "Linux capabilities to add: NET_ADMIN, ..." }, (capAdd) => ({ capAdd })),
  listField("cap_drop", { name: "cap-drop", placeholder: "A,B", help: "Linux capabilities to drop." }, (capDrop) => ({ capDrop })),
  repeatedField(
    "ulimits",
    { name: "ulimit", aliases: ["ulimits"], placeholder: "NAME=SOFT[:HARD]", help: "One kernel limit: nofile=1024:2048. Repeat it for more." },
    (items, label) => ({
      ulimits: items.filter((item) => item !== "").map((item) => parseUlimit(item, label)),
    }),
  ),
  textField("user", { name: "user", placeholder: "USER[:GROUP]", help: "The user that runs the command in the container." }, (user) => ({ user })),
  textField("working_dir", { name: "working-dir", placeholder: "DIR", help: "The folder in which the command starts." }, (workingDir) => ({
    workingDir,
  })),
  textField("hostname", { name: "hostname", placeholder: "NAME", help: "The host name in the container." }, (hostname) => ({ hostname })),
  listField("extra_hosts", { name: "extra-hosts", placeholder: "NAME:ADDRESS,...", help: "Lines for /etc/hosts." }, (extraHosts) => ({ extraHosts })),
  numberField(
    "shm_size_mb",
    { name: "shm-size-mb", placeholder: "MB", min: 0, integer: true, help: "Size of /dev/shm. 0: the engine's default." },
    (shmSizeMb) => ({ shmSizeMb }),
  ),
  repeatedField(
    "tmpfs",
    { name: "tmpfs", placeholder: "DIR[:OPTIONS]", help: "One temporary file system: /run:size=64m. Repeat it for more." },
    (items) => ({
      tmpfs: Object.fromEntries(items.filter((item) => item !== "").map((item) => splitTmpfs(item))),
    }),
  ),
  toggleField(
    "read_only",
    { name: "read-only", off: "writable", help: "Whether the root file system is read-only. Default: writable." },
    (readOnly) => ({ readOnly }),
  ),
  toggleField("init", { name: "init", off: "no-init", help: "Whether a small init runs as process 1. Default: no-init." }, (init) => ({ init })),
  numberField(
    "stop_grace_seconds",
    { name: "stop-grace-seconds", placeholder: "S", min: 0, integer: true, help: "Seconds between SIGTERM and SIGKILL. Default: 10." },
    (stopGraceSeconds) => ({
      stopGraceSeconds,
    }),
  ),
  textField(
    "pull_policy",
    {
      name: "pull-policy",
      placeholder: "POLICY",
      choices: Object.keys(PULL_POLICIES),
      help: "When to pull: default (when the spec changes), always, missing, never.",
    },
    (text) => ({
      pullPolicy: PULL_POLICIES[text] ?? PullPolicy.UNSPECIFIED,
    }),
  ),
];

/** `--label ""` is the empty map. */
function pairs(items: readonly string[], label: string): Record<string, string> {
  return Object.fromEntries(items.filter((item) => item !== "").map((item) => parsePair(item, label)));
}

function splitTmpfs(item: string): [directory: string, options: string] {
  const at = item.indexOf(":");
  return at === -1 ? [item, ""] : [item.slice(0, at), item.slice(at + 1)];
}
