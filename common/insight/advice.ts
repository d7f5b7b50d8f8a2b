/**
 * The advice for each failure, each problem of a device, and each place where a change may be stuck. An advice names a command or a setting;
 * docs/worker.md has the same words, and tests compare them and parse each command of nebulactl.
 */

import { StuckAt, type StuckAt as StuckAtNumber } from "../../gen/nebula/v1/explain_pb.ts";
import { FailureCode, type FailureCode as FailureCodeNumber } from "../../gen/nebula/v1/report_pb.ts";
import type { KnownProblem } from "./problems.ts";

/** The words that fill the commands in. Absent: a word in capitals stands for it. */
export type AdviceSubject = Readonly<{
  deviceId: string;
  deviceGroup: string;
  kind: "app" | "cron_job";
  name: string;
  image?: string | undefined;
  /** A container of the target, as the device reported it. */
  container?: string | undefined;
  /** The port inside the containers, where there is only one. */
  containerPort?: number | undefined;
  /** The other members of this kind that the group names, as far as they fit in one command. */
  otherMembers?: readonly string[] | undefined;
}>;

/** One advice: a sentence without a full stop, and a command that does it. */
type Line = Readonly<{ text: string; command?: (subject: AdviceSubject) => string }>;

export type GivenAdvice = Readonly<{ text: string; command: string }>;

type NameOf<Enum> = Exclude<keyof Enum, "UNSPECIFIED">;

// --- commands

const noun = ({ kind }: AdviceSubject) => (kind === "app" ? "apps" : "cron-jobs");
const update = (flags: string) => (subject: AdviceSubject) => `nebulactl ${noun(subject)} update ${subject.name} ${flags}`;
const specOf = (subject: AdviceSubject) => `nebulactl get ${noun(subject)} ${subject.name} -o yaml`;
const otherPort = (subject: AdviceSubject) =>
  subject.kind === "app" ? `nebulactl apps update ${subject.name} -p HOST:${subject.containerPort ?? "CONTAINER"}` : specOf(subject); // a cron_job has no ports
const health = (flags: string) => (subject: AdviceSubject) => (subject.kind === "app" ? update(flags)(subject) : specOf(subject)); // and no health check
const ofDevice = (command: string) => (subject: AdviceSubject) => `${command} ${subject.deviceId}`;
const prune = ({ deviceGroup }: AdviceSubject) => `nebulactl prune --device-group ${deviceGroup}`;
const why = ({ deviceId, kind, name }: AdviceSubject) => `nebulactl why ${deviceId} ${kind}/${name}`;
const membersWith = (subject: AdviceSubject) => membersCommand(subject, [...(subject.otherMembers ?? ["OTHERS"]), subject.name]);
const membersWithout = (subject: AdviceSubject) => membersCommand(subject, subject.otherMembers ?? ["OTHERS"]);

function membersCommand(subject: AdviceSubject, members: readonly string[]): string {
  return `nebulactl device-groups update ${subject.deviceGroup} --${noun(subject)}=${members.join(",")}`;
}

/** Text of a device goes into a command only where no shell takes a part of it for its own. */
const PLAIN_WORD = /^[a-zA-Z0-9][\w.\-:/@]*$/;

function plainWord(text: string | undefined, placeholder: string): string {
  return text !== undefined && PLAIN_WORD.test(text) ? text : placeholder;
}

const logs = ({ container }: AdviceSubject) => `docker logs ${plainWord(container, "CONTAINER")}`;
const unpause = ({ container }: AdviceSubject) => `docker unpause ${plainWord(container, "CONTAINER")}`;
const pull = ({ image }: AdviceSubject) => `docker pull ${plainWord(image, "IMAGE")}`;
const shell = (command: string) => () => command;

const WORKER_LOG = shell("docker logs nebula-worker");
const RESTART_ENGINE: Line = {
  text: "wait, it is tried again; if it lasts, restart the Docker Engine of the device",
  command: shell("systemctl restart docker"),
};
const AFTER_RESTORE: Line = { text: "after a restore of the server, raise its epoch", command: shell("nebula migrate --after-restore") };
const OTHER_IMAGE = { command: update("--image IMAGE") };

// --- failures

const FAILURES: Readonly<Record<NameOf<typeof FailureCode>, readonly Line[]>> = {
  CONFIG_INVALID: [{ text: "change the field that the reason names, and apply the file again", command: specOf }],
  WORKER_TOO_OLD: [
    { text: "upgrade the worker of the device, whose version is among what is known of it", command: ofDevice("nebulactl devices info") },
  ],
  HELD_BACK: [{ text: "make a newer config", command: update("--redeploy") }, AFTER_RESTORE],
  CLAIM_LOST: [
    { text: "give it another host port", command: otherPort },
    { text: "or take it out of the group", command: membersWithout },
  ],
  NAME_TAKEN: [{ text: "rename or remove the container that has the name", command: shell("docker rename CONTAINER OTHER") }],
  PORT_TAKEN: [{ text: "free the host port on the device, or give it another one", command: otherPort }],
  NETWORK_MISSING: [
    { text: "make the network on the device", command: shell("docker network create NETWORK") },
    { text: "or use other networks", command: update("--networks NETWORKS") },
  ],
  IMAGE_MISSING: [{ text: "load the image on the device, or let it be pulled", command: update("--pull-policy missing") }],
  DEVICE_MISSING: [{ text: "connect the device file, or install its driver, or ask for others", command: update("--devices DEVICES") }],
  COMMAND_MISSING: [
    { text: "use another command", command: update("--command LINE") },
    { text: "or an image for the platform of the device", ...OTHER_IMAGE },
  ],
  PULL_LOGIN: [
    {
      text: "give the worker a login, REGISTRY_AUTH_USER and REGISTRY_AUTH_PASSWORD, or log Docker in on the device",
      command: shell("docker login REGISTRY"),
    },
  ],
  PULL_NOT_FOUND: [{ text: "push the image, or use another one", ...OTHER_IMAGE }],
  PULL_PLATFORM: [{ text: "push the image for the platform of the device, or use another one", ...OTHER_IMAGE }],
  PULL_UNREACHABLE: [{ text: "try the pull on the device, and look at its network and at the registry's name and certificate", command: pull }],
  PULL_STALLED: [{ text: "try the pull on the device, and look at its network; the worker tries again by itself", command: pull }],
  NO_SPACE: [
    { text: "free space on the device, or have it remove images that nothing uses (NEBULA_KEEP_IMAGES says how many are kept)", command: prune },
  ],
  MOUNT_REFUSED: [{ text: "make the path on the device, or mount another one", command: update("--volumes VOLUMES") }],
  CREATE_REFUSED: [{ text: "change what the reason names, and apply the file again", command: specOf }],
  START_REFUSED: [{ text: "change what the reason names, and apply the file again", command: specOf }],
  EXITS: [
    { text: "read the log of the container on the device", command: logs },
    { text: "and use another image or command", ...OTHER_IMAGE },
  ],
  UNHEALTHY: [
    { text: "read the log of the container on the device", command: logs },
    { text: "or correct the health check", command: health("--health-cmd LINE") },
  ],
  HEALTH_TIMEOUT: [
    { text: "read the log of the container on the device", command: logs },
    { text: "or give it more time to start", command: health("--health-start-period 60s") },
  ],
  PAUSED: [{ text: "wait, it is unpaused after 2 minutes; or unpause it on the device", command: unpause }],
  IMAGE_STALE: [
    {
      text: "remove the cause that the reason names, and try the pull on the device; until it succeeds, its own image of that tag is used",
      command: pull,
    },
  ],
  NETWORK_FAILED: [RESTART_ENGINE],
  INSPECT_FAILED: [RESTART_ENGINE],
  STOP_FAILED: [RESTART_ENGINE],
  REMOVE_FAILED: [RESTART_ENGINE],
  RUN_FAILED: [{ text: "read the log of the run on the device; the next run starts from the beginning", command: logs }],
  OTHER: [{ text: "read the reason, and the log of the worker", command: WORKER_LOG }],
};

/** Of a failure without a code: an older worker, or one of the original, reported it; or its code is newer than this server. */
const NO_CODE: readonly Line[] = FAILURES.OTHER;

// --- problems of a device

const PROBLEMS: Readonly<Record<KnownProblem, readonly Line[]>> = {
  engine_unreachable: [
    { text: "start the Docker Engine of the device; NEBULA_RUNTIME names its socket", command: shell("systemctl restart docker") },
  ],
  events_unavailable: [{ text: "let what stands between the worker and the engine that NEBULA_RUNTIME names pass its events endpoint" }],
  second_worker: [{ text: "stop one of the two workers, or give it a NEBULA_INSTANCE of its own" }],
  foreign_cluster: [
    { text: "to replace these containers, start the worker once with NEBULA_TAKE_OVER set to the id of their cluster; else remove them" },
  ],
  cluster_changed: [{ text: "nothing, it is reported once; if it was not intended, correct NEBULA_SERVER of the device" }],
  older_epoch: [AFTER_RESTORE],
  no_such_group: [
    { text: "create the group", command: ({ deviceGroup }) => `nebulactl device-groups create ${deviceGroup}` },
    { text: "or correct NEBULA_DEVICE_GROUP of the device" },
  ],
  state_not_saved: [{ text: "free space on the device, or make its folder NEBULA_WORKER_DATA writable" }],
  prune_failed: [{ text: "remove on the device what the message names, then prune again", command: prune }],
  duplicate_id: [{ text: "give one of the two devices another NEBULA_DEVICE_ID and an empty NEBULA_WORKER_DATA" }],
};

/** A problem that a newer worker reports. */
const UNKNOWN_PROBLEM: readonly Line[] = [{ text: "read the message, and the log of the worker", command: WORKER_LOG }];

// --- places

const PLACES: Readonly<Record<Exclude<NameOf<typeof StuckAt>, "NOWHERE">, readonly Line[]>> = {
  NO_GROUP: PROBLEMS.no_such_group,
  NOT_IN_GROUP: [{ text: "add it to the group", command: membersWith }],
  NO_TARGET: [
    { text: "create it", command: createCommand },
    { text: "or take it out of the group", command: membersWithout },
  ],
  CONFIG: [
    { text: "start the managers with the NEBULA_CLUSTER_KEY under which the value was stored" },
    { text: "or give the value again", command: update("--secret-env-file FILE") },
  ],
  NEVER_CONNECTED: [{ text: "start the worker on the device; its log says why the server refuses it", command: WORKER_LOG }],
  OFFLINE: [
    { text: "look after the power and the network of the device, then at the log of its worker; it follows when it is back", command: WORKER_LOG },
  ],
  NEVER_REPORTED: [{ text: "wait a minute; if no report arrives, look at the log of the worker", command: WORKER_LOG }],
  DELIVERY: [{ text: "wait, a connected device answers within seconds; if it lasts, look at the log of the worker", command: WORKER_LOG }],
  DEVICE: [{ text: "remove the problem of the device", command: ofDevice("nebulactl devices info") }],
  WORKING: [{ text: "wait, and look again", command: why }],
  STEP: NO_CODE,
  CONTAINERS: [{ text: "read the log of the container on the device", command: logs }],
};

function createCommand(subject: AdviceSubject): string {
  const schedule = subject.kind === "cron_job" ? " --schedule @daily" : "";
  return `nebulactl ${noun(subject)} create ${subject.name} --image IMAGE${schedule}`;
}

/** Of an app or cron_job that is as wanted, and wanted not to run. */
const STOPPED: readonly Line[] = [
  {
    text: "nothing, it is stopped; to start it",
    command: ({ kind, name }) => (kind === "app" ? `nebulactl apps start ${name}` : `nebulactl cron-jobs update ${name} --running`),
  },
];

// --- the advice

/** Returns the advice for a failure; for one without a code that for `OTHER`. */
export function failureAdvice(code: FailureCodeNumber, subject: AdviceSubject): GivenAdvice[] {
  return given(Object.entries(FAILURES).find(([name]) => numberOf(FailureCode, name) === code)?.[1] ?? NO_CODE, subject);
}

/** Returns the advice for a problem of a device as a whole. */
export function problemAdvice(code: KnownProblem | undefined, subject: AdviceSubject): GivenAdvice[] {
  return given(code === undefined ? UNKNOWN_PROBLEM : PROBLEMS[code], subject);
}

/** Returns the advice for a change that is stuck there; nothing where it is stuck nowhere. */
export function placeAdvice(place: StuckAtNumber, subject: AdviceSubject): GivenAdvice[] {
  return given(Object.entries(PLACES).find(([name]) => numberOf(StuckAt, name) === place)?.[1] ?? [], subject);
}

/** Returns the advice for an app or cron_job that is wanted not to run. */
export function stoppedAdvice(subject: AdviceSubject): GivenAdvice[] {
  return given(STOPPED, subject);
}

function numberOf(values: Readonly<Record<string, number>>, name: string): number | undefined {
  return values[name];
}

function given(lines: readonly Line[], subject: AdviceSubject): GivenAdvice[] {
  return lines.map(({ text, command }) => ({ text, command: command?.(subject) ?? "" }));
}

/** One line for a person: the sentence, and the command behind a colon. */
export function adviceLine({ text, command }: GivenAdvice): string {
  return command === "" ? text : `${text}: ${command}`;
}
