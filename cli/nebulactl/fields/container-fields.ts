import type { App } from "../../../gen/nebula/v1/app_pb.ts";
import { PullPolicy } from "../../../gen/nebula/v1/container_pb.ts";
import type { CronJob } from "../../../gen/nebula/v1/cron_job_pb.ts";
import type { TextFlag } from "../command/flags.ts";
import { type Field, field, listField, numberField, repeatedField, textField, toggleField } from "./field.ts";
import { logField } from "./log-field.ts";
import { parsePair, parseWords } from "./text-values.ts";
import { parseUlimit } from "./ulimits.ts";

/** What apps and cron_jobs have in common. */
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

/** The fields that the original has flags for, with its flags. */
export const v2ContainerFields: readonly Field<ContainerFields>[] = [
  field([IMAGE], "docker_image", (values) => {
    const dockerImage = values.text(IMAGE);
    return dockerImage === undefined ? undefined : { dockerImage };
  }),
  toggleField("running", { name: "running", short: "r", off: "stopped", offShort: "s", help: "Whether it runs. Default: running." }, (running) => ({
    running,
  })),
  // An explicit empty list of v2 means the network nebula alone; to the API an empty list is the default, nebula and bridge.
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
      help: "Mounts: a host path or volume, and where it is in the container. Repeat it for more.",
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

/** What v2 lacks. */
export const moreContainerFields: readonly Field<ContainerFields>[] = [
  textField(
    "command",
    {
      name: "command",
      placeholder: "LINE",
      help: "Replaces the image's command: words as in a shell, or a JSON list. \"\" goes back to the image's.",
    },
    (text, label) => ({
      command: parseWords(text, label),
    }),
  ),
  textField("entrypoint", { name: "entrypoint", placeholder: "LINE", help: "Replaces the image's entrypoint, in the same form." }, (text, label) => ({
    entrypoint: parseWords(text, label),
  })),
  numberField("cpus", { name: "cpus", placeholder: "N", min: 0, help: "At most this many cores per container. 0: no limit." }, (cpus) => ({ cpus })),
  numberField(
    "memory_limit_mb",
    { name: "memory-limit-mb", placeholder: "MB", min: 0, integer: true, help: "At most this much memory per container. 0: no limit." },
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
  listField("cap_drop", { name: "cap-drop", placeholder: "A,B", help: "Linux capabilities to take away." }, (capDrop) => ({ capDrop })),
  repeatedField(
    "ulimits",
    { name: "ulimit", aliases: ["ulimits"], placeholder: "NAME=SOFT[:HARD]", help: "One kernel limit: nofile=1024:2048. Repeat it for more." },
    (items, label) => ({
      ulimits: items.filter((item) => item !== "").map((item) => parseUlimit(item, label)),
    }),
  ),
  textField("user", { name: "user", placeholder: "USER[:GROUP]", help: "Who runs the command in the container." }, (user) => ({ user })),
  textField("working_dir", { name: "working-dir", placeholder: "DIR", help: "Where the command starts." }, (workingDir) => ({ workingDir })),
  textField("hostname", { name: "hostname", placeholder: "NAME", help: "The host name inside." }, (hostname) => ({ hostname })),
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
    { name: "stop-grace-seconds", placeholder: "S", min: 0, integer: true, help: "Time between SIGTERM and SIGKILL. Default: 10." },
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
