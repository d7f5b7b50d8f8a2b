/** The fields of an app that its form shows as texts, in the order of the form. Pure. */
import { create } from "@bufbuild/protobuf";
import type { Violation } from "../../../../common/errors/nebula-error.ts";
import { enumWord } from "../../../../common/text/enum-words.ts";
import { quote } from "../../../../common/text/wording.ts";
import { containersPerFromV2, containersPerToV2 } from "../../../../common/v2/containers-per.ts";
import { startingPortsFromV2, startingPortsToV2 } from "../../../../common/v2/starting-ports.ts";
import { DEFAULTS } from "../../../../common/validation/normal-form.ts";
import type { App } from "../../../../gen/nebula/v1/app_pb.ts";
import { type Healthcheck, HealthcheckSchema, PullPolicy, PullPolicySchema } from "../../../../gen/nebula/v1/container_pb.ts";

export const SECTIONS = ["What runs", "Network and files", "Restarts and health", "Limits and rights"] as const;

export type Control = Readonly<
  | { kind: "text" | "number" | "lines" | "switch" }
  /** `choices`: a value, and the word for it. */
  | { kind: "choice"; choices: readonly (readonly [value: string, word: string])[] }
>;

/** The texts of all fields, by name. */
export type Texts = Readonly<Record<string, string>>;

export type FormField = Readonly<{
  /** Its path in a resource file; where several make one field of the file, one that begins so. */
  name: string;
  section: (typeof SECTIONS)[number];
  label: string;
  hint?: string;
  control: Control;
  /** Undefined: the value has no text, and stays as it is. */
  textOf: (app: App) => string | undefined;
  /** Sets it in the app, and returns what is wrong with the text. `texts` has those of all fields. */
  write: (app: App, text: string, texts: Texts) => readonly Violation[];
  /** Whether it counts beside the other texts. Absent: always. */
  counts?: (texts: Texts) => boolean;
}>;

/** The text of a switch that is on; the other one is empty. */
export const ON = "on";

const LARGEST_UINT32 = 2 ** 32 - 1;

type Place = Pick<FormField, "name" | "section" | "label" | "hint" | "counts">;

function switchField(key: "running" | "rollingRestart" | "privileged", place: Place): FormField {
  return {
    ...place,
    control: { kind: "switch" },
    textOf: (app) => (app[key] === true ? ON : ""),
    write: always((app, text) => {
      app[key] = text === ON;
    }),
  };
}

/** An item a line. Lines without one are left out. */
function linesField(key: "networks" | "volumes" | "devices", label: string, hint: string): FormField {
  return {
    ...{ name: key, section: "Network and files", label, hint },
    control: { kind: "lines" },
    textOf: (app) => linesOf(app[key]),
    write: always((app, text) => {
      app[key] = itemsIn(text);
    }),
  };
}

/** A whole number; an empty text is its default. */
function numberField(place: Place, numberOf: (app: App) => number | undefined, set: (app: App, number: number | undefined) => void): FormField {
  return {
    ...place,
    control: { kind: "number" },
    textOf: (app) => numberText(numberOf(app)),
    write: (app, text) => {
      const number = wholeNumber(text);
      if (number === "invalid") return [{ field: place.name, description: `is ${quote(text)}; use a whole number from 0 to ${LARGEST_UINT32}` }];
      set(app, number);
      return [];
    },
  };
}

function always(set: (app: App, text: string) => void): FormField["write"] {
  return (app, text) => {
    set(app, text);
    return [];
  };
}

/** Undefined: a line would not be read back as it is. */
function linesOf(items: readonly string[]): string | undefined {
  return items.every((item) => item !== "" && item === item.trim() && !/[\r\n]/.test(item)) ? items.join("\n") : undefined;
}

function itemsIn(text: string): string[] {
  return text
    .split("\n")
    .map((line) => line.trim())
    .filter((line) => line !== "");
}

function numberText(number: number | undefined): string {
  return number === undefined ? "" : String(number);
}

function wholeNumber(text: string): number | undefined | "invalid" {
  const trimmed = text.trim();
  if (trimmed === "") return undefined;
  return /^\d{1,10}$/.test(trimmed) && Number(trimmed) <= LARGEST_UINT32 ? Number(trimmed) : "invalid";
}

/** The text of a number whose zero is its default. */
function unlessZero(number: number): number | undefined {
  return number === 0 ? undefined : number;
}

// --- the health check, which several texts make

type HealthKind = "image" | "shell" | "command" | "none";

const HEALTH_SECTION = "Restarts and health";
const HEALTH = "healthcheck";
const HEALTH_TEST = `${HEALTH}.test`;
const HEALTH_KINDS: readonly (readonly [HealthKind, string])[] = [
  ["image", "that of the image"],
  ["shell", "a line for the shell of the image"],
  ["command", "a command, a word a line"],
  ["none", "switched off"],
];

/** Undefined: it has no text. */
function healthKind(healthcheck: Healthcheck | undefined): HealthKind | undefined {
  if (healthcheck === undefined) return "image";
  const [kind, ...words] = healthcheck.test;
  if (kind === "CMD-SHELL" && words.length === 1 && isTrimmed(words[0] ?? "")) return "shell";
  if (kind === "CMD" && words.length > 0 && linesOf(words) !== undefined) return "command";
  return kind === "NONE" && words.length === 0 ? "none" : undefined;
}

/** Whether a text is read back from a field as it is: browsers know one kind of line end. */
function isTrimmed(text: string): boolean {
  return text.trim() === text && !text.includes("\r");
}

function hasTest(texts: Texts): boolean {
  return texts[HEALTH] === "shell" || texts[HEALTH] === "command";
}

const healthTest: FormField = {
  name: HEALTH_TEST,
  section: HEALTH_SECTION,
  label: "Health check runs",
  control: { kind: "lines" },
  counts: hasTest,
  textOf: ({ healthcheck }) => (healthKind(healthcheck) === undefined ? undefined : (healthcheck?.test ?? []).slice(1).join("\n")),
  write: ({ healthcheck }, text, texts) => {
    if (healthcheck !== undefined) healthcheck.test = texts[HEALTH] === "shell" ? ["CMD-SHELL", text.trim()] : ["CMD", ...itemsIn(text)];
    return [];
  },
};

const healthChoice: FormField = {
  name: HEALTH,
  section: HEALTH_SECTION,
  label: "Health check",
  control: { kind: "choice", choices: HEALTH_KINDS },
  textOf: ({ healthcheck }) => healthKind(healthcheck),
  write: (app, kind) => {
    if (kind === "image") app.healthcheck = undefined;
    else app.healthcheck ??= create(HealthcheckSchema);
    if (kind === "none" && healthKind(app.healthcheck) !== "none") app.healthcheck = create(HealthcheckSchema, { test: ["NONE"] });
    return [];
  },
};

function healthNumber(key: "intervalMs" | "timeoutMs" | "retries" | "startPeriodMs", field: string, label: string): FormField {
  const place = { name: `${HEALTH}.${field}`, section: HEALTH_SECTION, label, counts: hasTest } as const;
  return numberField(
    place,
    ({ healthcheck }) => unlessZero(healthcheck?.[key] ?? 0),
    ({ healthcheck }, number) => {
      if (healthcheck !== undefined) healthcheck[key] = number ?? 0;
    },
  );
}

// --- containers per device, which two texts make

const CONTAINERS = "containers_per";
const CONTAINERS_NUMBER = `${CONTAINERS}.number`;

const containersChoice: FormField = {
  name: CONTAINERS,
  section: "What runs",
  label: "Containers per",
  control: {
    kind: "choice",
    choices: [
      ["server", "device"],
      ["cpu", "core"],
      ["memory", "this many MB of memory"],
    ],
  },
  textOf: ({ containersPer }) => Object.keys(containersPerToV2(containersPer))[0],
  write: () => [],
};

const containersNumber: FormField = {
  name: CONTAINERS_NUMBER,
  section: "What runs",
  label: "Number",
  hint: "Containers per device or core; of memory the MB that each one counts for.",
  control: { kind: "text" },
  textOf: ({ containersPer }) => String(Object.values(containersPerToV2(containersPer))[0]),
  write: (app, text, texts) => {
    const read = containersPerFromV2({ [texts[CONTAINERS] ?? ""]: text.trim() });
    if (read.kind === "invalid") return read.violations;
    app.containersPer = read.containersPer;
    return [];
  },
};

const ports: FormField = {
  name: "starting_ports",
  section: "Network and files",
  label: "Ports",
  hint: "One a line: 8080:80 (host:container), 80 for the same port on both, 53/udp, 127.0.0.1:8080:80.",
  control: { kind: "lines" },
  textOf: ({ startingPorts }) => startingPortsToV2(startingPorts).map(portText).join("\n"),
  write: (app, text) => {
    const read = startingPortsFromV2(itemsIn(text));
    if (read.kind !== "ports") return read.violations;
    app.startingPorts = read.ports;
    return [];
  },
};

function portText(port: ReturnType<typeof startingPortsToV2>[number]): string {
  if (typeof port !== "object") return String(port);
  return Object.entries(port)
    .map(([host, container]) => `${host}:${container}`)
    .join("\n");
}

const PULL_POLICIES = [PullPolicy.UNSPECIFIED, PullPolicy.ALWAYS, PullPolicy.MISSING, PullPolicy.NEVER];

const pullPolicy: FormField = {
  name: "pull_policy",
  section: "What runs",
  label: "Image is pulled",
  control: {
    kind: "choice",
    choices: [
      ["", "when the specification changes"],
      ["always", "before every container"],
      ["missing", "where a device does not have it"],
      ["never", "never"],
    ],
  },
  textOf: ({ pullPolicy }) => enumWord(PullPolicySchema, pullPolicy),
  write: always((app, word) => {
    app.pullPolicy = PULL_POLICIES.find((policy) => enumWord(PullPolicySchema, policy) === word) ?? PullPolicy.UNSPECIFIED;
  }),
};

const cpus: FormField = {
  name: "cpus",
  section: "Limits and rights",
  label: "Cores per container, at most",
  hint: "0.5 or 2; empty: no limit.",
  control: { kind: "text" },
  textOf: (app) => numberText(unlessZero(app.cpus)),
  write: (app, text) => {
    const number = text.trim() === "" ? 0 : Number(text);
    if (!Number.isFinite(number)) return [{ field: "cpus", description: `is ${quote(text)}; use a number such as 0.5, or leave it empty` }];
    app.cpus = number;
    return [];
  },
};

export const FORM_FIELDS: readonly FormField[] = [
  {
    ...{ name: "docker_image", section: "What runs", label: "Image", hint: "shop:1.5 or registry.example.com:5000/shop:1.5" },
    control: { kind: "text" },
    textOf: ({ dockerImage }) => dockerImage,
    write: always((app, text) => {
      app.dockerImage = text.trim();
    }),
  },
  switchField("running", { name: "running", section: "What runs", label: "Runs", hint: "Off: its containers are stopped and removed." }),
  containersChoice,
  containersNumber,
  pullPolicy,
  ports,
  linesField("networks", "Networks", "One a line; empty: nebula and bridge. host or none stands alone."),
  linesField("volumes", "Volumes", "One a line: /data:/data, or cache:/var/cache:ro"),
  linesField("devices", "Devices of the host", "One a line: /dev/ttyUSB0, or /dev/ttyUSB0:/dev/tty1:rw"),
  switchField("rollingRestart", {
    name: "rolling_restart",
    section: HEALTH_SECTION,
    label: "Rolling restart",
    hint: "A change replaces one container after the other.",
  }),
  numberField(
    {
      name: "min_healthy_ms",
      section: HEALTH_SECTION,
      label: "Healthy after, ms",
      hint: `Of a container without a health check, in a rolling restart. Empty: ${DEFAULTS.minHealthyMs}.`,
    },
    (app) => app.minHealthyMs,
    (app, ms) => {
      app.minHealthyMs = ms;
    },
  ),
  numberField(
    {
      name: "stop_grace_seconds",
      section: HEALTH_SECTION,
      label: "Time to stop, s",
      hint: `Then it is killed. Empty: ${DEFAULTS.stopGraceSeconds}.`,
    },
    (app) => app.stopGraceSeconds,
    (app, seconds) => {
      app.stopGraceSeconds = seconds;
    },
  ),
  healthChoice,
  healthTest,
  healthNumber("intervalMs", "interval_ms", "Checked every, ms"),
  healthNumber("timeoutMs", "timeout_ms", "A check fails after, ms"),
  healthNumber("retries", "retries", "Unhealthy after, failures"),
  healthNumber("startPeriodMs", "start_period_ms", "Not counted after the start, ms"),
  cpus,
  numberField(
    { name: "memory_limit_mb", section: "Limits and rights", label: "Memory per container, MB at most", hint: "Empty: no limit." },
    (app) => unlessZero(app.memoryLimitMb),
    (app, mb) => {
      app.memoryLimitMb = mb ?? 0;
    },
  ),
  switchField("privileged", {
    name: "privileged",
    section: "Limits and rights",
    label: "Privileged",
    hint: "The containers have all rights of the host.",
  }),
];
