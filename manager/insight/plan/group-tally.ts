import { timestampMs } from "@bufbuild/protobuf/wkt";
import { BoundedMap } from "../../../common/bounded-map.ts";
import { type Desired, desiredOf } from "../../../common/desired/desired.ts";
import { deviceSteps, type TargetStep } from "../../../common/desired/device-steps.ts";
import type { Config } from "../../../gen/nebula/v1/config_pb.ts";
import { ConnectionState, type Device } from "../../../gen/nebula/v1/device_pb.ts";
import { FailureCode, type Report, TargetState } from "../../../gen/nebula/v1/report_pb.ts";
import { type Bodies, knownDevice } from "./known-device.ts";

/** Devices that a plan names. */
export const MOST_NAMED = 20;
/** Different devices whose steps are remembered: most devices of a group stand alike. */
const REMEMBERED = 4096;

/** An app or cron_job that exists, and changes: devices should run its revision of now. */
export type ChangedTarget = Readonly<{ kind: "app" | "cron_job"; name: string; revision: bigint }>;

export type Reach = { devices: number; connected: number; offline: number; neverCame: number; unforeseen: number; idle: number };

export type Behind = Readonly<{ device: Device; target: ChangedTarget; state: "failed" | "offline" | "working" | "waiting"; reason: string }>;

/** How many devices do one step. */
export type CountedStep = { readonly step: TargetStep["step"]; readonly containers: number; readonly image: string; devices: number };

/** The devices that a plan reaches, counted. */
export class FleetTally {
  readonly reach: Reach = noReach();
  readonly steps = new Map<string, CountedStep>();
  readonly named: { device: Device; steps: readonly TargetStep[] }[] = [];
  readonly behind: Behind[] = [];
  behindCount = 0;
  /** Devices with less free disk than the present image of an app takes, of those that pull. */
  lowDisk = 0;
  /** Devices that refuse a changed app or cron_job because of a field that their worker does not know. */
  readonly tooOld = new TooOld();
  /** By app: devices that can't run the number of containers that it asks for. */
  readonly refused = new Map<string, number>();
}

/**
 * Devices whose workers are too old for a changed app or cron_job: those that reported so, and those that are connected, have not reported yet, and whose worker
 * has a version that others reported so of, or an older one.
 */
class TooOld {
  #reported = 0;
  /** By app or cron_job: the versions of workers that reported so. */
  readonly #versions = new Map<string, Set<string>>();
  readonly #silent = new Map<string, { version: string; targets: readonly string[]; devices: number }>();

  add(version: string, targets: readonly ChangedTarget[]): void {
    this.#reported++;
    for (const key of targets.map(targetKey)) this.#versions.set(key, (this.#versions.get(key) ?? new Set()).add(version));
  }

  /** Adds a device that has not reported, and that the targets reach. */
  addSilent(version: string, changed: readonly ChangedTarget[]): void {
    const targets = changed.map(targetKey);
    const key = JSON.stringify([version, targets]);
    const known = this.#silent.get(key) ?? { version, targets, devices: 0 };
    known.devices++;
    this.#silent.set(key, known);
  }

  /** How many there are, once all of them were added. */
  get devices(): number {
    const silent = [...this.#silent.values()].filter(({ version, targets }) =>
      targets.some((target) => [...(this.#versions.get(target) ?? [])].some((tooOld) => isNoNewer(version, tooOld))),
    );
    return silent.reduce((sum, { devices }) => sum + devices, this.#reported);
  }
}

function targetKey({ kind, name }: ChangedTarget): string {
  return `${kind} ${name}`;
}

/** Whether a version is the other one, or before it; of others than `1.2.3` only equal ones are compared. */
function isNoNewer(version: string, other: string): boolean {
  if (version === other) return version !== "";
  const [own, others] = [version, other].map((text) => (/^\d{1,9}(\.\d{1,9}){2}$/.test(text) ? text.split(".").map(Number) : undefined));
  if (own === undefined || others === undefined) return false;
  const at = own.findIndex((number, index) => number !== others[index]);
  return at < 0 || (own[at] ?? 0) < (others[at] ?? 0);
}

export function noReach(): Reach {
  return { devices: 0, connected: 0, offline: 0, neverCame: 0, unforeseen: 0, idle: 0 };
}

export type GroupPlan = Readonly<{
  /** After the change, with secret values; undefined: the group is deleted, and its devices keep what they run. */
  config: Config | undefined;
  cluster: Readonly<{ id: string; epoch: bigint }>;
  targets: readonly ChangedTarget[];
  bodies: Bodies & Readonly<{ usesDeviceId: boolean }>;
}>;

/** Counts the devices of one group, one by one; devices that stand alike are planned once. */
export class GroupTally {
  readonly reach: Reach = noReach();
  readonly #fleet: FleetTally;
  readonly #plan: GroupPlan;
  readonly #needsCapacity: boolean;
  readonly #usesDeviceId: boolean;
  readonly #desired = new BoundedMap<string, Desired>(64);
  readonly #known = new BoundedMap<string, Planned>(REMEMBERED);

  constructor(fleet: FleetTally, plan: GroupPlan) {
    this.#fleet = fleet;
    this.#plan = plan;
    const apps = plan.config?.apps.flatMap(({ app }) => (app === undefined ? [] : [app])) ?? [];
    this.#needsCapacity = apps.some(({ containersPer }) => containersPer?.per.case === "cpu" || containersPer?.per.case === "memoryMb");
    const jobs = plan.config?.cronJobs.flatMap(({ cronJob }) => (cronJob === undefined ? [] : [cronJob])) ?? [];
    this.#usesDeviceId = [...apps, ...jobs].some(({ envVars, secretEnvVars }) =>
      [...Object.values(envVars), ...Object.values(secretEnvVars)].some((value) => value.includes("NEBULA_DEVICE_ID")),
    );
  }

  /** @param workerVersion the version that its worker named when it connected; undefined: none */
  add(device: Device, workerVersion?: string): void {
    const { state } = device.connection ?? { state: ConnectionState.UNSPECIFIED };
    this.#count("devices");
    if (state === ConnectionState.ONLINE) this.#count("connected");
    if (state === ConnectionState.OFFLINE) this.#count("offline");
    this.#addBehind(device);
    if (device.report === undefined && state === ConnectionState.ONLINE && workerVersion !== undefined)
      this.#fleet.tooOld.addSilent(workerVersion, this.#plan.targets);
    const planned = this.#planOf(device.report);
    if (planned.kind === "unforeseen") {
      this.#count("unforeseen");
      return;
    }
    for (const name of planned.refused) this.#fleet.refused.set(name, (this.#fleet.refused.get(name) ?? 0) + 1);
    if (planned.steps.length === 0) this.#count("idle");
    else this.#addSteps(device, planned);
  }

  #addSteps(device: Device, planned: Extract<Planned, { kind: "planned" }>): void {
    for (const counted of planned.counted) {
      const key = `${counted.step} ${counted.containers} ${counted.image}`;
      const known = this.#fleet.steps.get(key) ?? { ...counted, devices: 0 };
      known.devices++;
      this.#fleet.steps.set(key, known);
    }
    if (this.#fleet.named.length < MOST_NAMED) this.#fleet.named.push({ device, steps: planned.steps });
    if (planned.steps.some(({ step }) => step === "pull" || step === "pull_if_missing") && hasLowDisk(device.report, planned.steps))
      this.#fleet.lowDisk++;
  }

  neverCame(devices: number): void {
    this.reach.neverCame += devices;
    this.#fleet.reach.neverCame += devices;
  }

  #count(number: keyof Reach): void {
    this.reach[number]++;
    this.#fleet.reach[number]++;
  }

  #planOf(report: Report | undefined): Planned {
    const key = report === undefined ? "" : fingerprint(report, this.#needsCapacity, this.#usesDeviceId || this.#plan.bodies.usesDeviceId);
    const known = this.#known.get(key);
    if (known !== undefined) return known;
    const planned = this.#work(report);
    this.#known.set(key, planned);
    return planned;
  }

  #work(report: Report | undefined): Planned {
    const { config, cluster, bodies } = this.#plan;
    if (config === undefined) return { kind: "planned", steps: [], counted: [], refused: [] };
    const known = knownDevice(report, { cluster, apps: config.apps.map(({ name }) => name), needsCapacity: this.#needsCapacity }, bodies);
    if (known.kind === "unforeseen") return known;
    const { cores, memoryBytes } = known.facts.engine;
    const key = `${this.#needsCapacity ? `${cores} ${memoryBytes}` : ""} ${this.#usesDeviceId ? known.facts.deviceId : ""}`;
    const desired = this.#desired.get(key) ?? desiredOf(config, known.facts);
    this.#desired.set(key, desired);
    const steps = deviceSteps(desired, known.device);
    const refused = desired.apps.flatMap((app) => (app.kind === "refused" && app.code === FailureCode.CONFIG_INVALID ? [app.name] : []));
    return { kind: "planned", steps, counted: sums(steps), refused };
  }

  #addBehind(device: Device): void {
    const { report } = device;
    const refused: ChangedTarget[] = [];
    const late: Behind[] = [];
    for (const target of this.#plan.targets) {
      const statuses: readonly Status[] = (target.kind === "app" ? report?.apps : report?.cronJobs) ?? [];
      const status = statuses.find(({ name }) => name === target.name);
      if (status?.failureCode === FailureCode.WORKER_TOO_OLD) refused.push(target);
      if (status !== undefined && status.appliedRevision >= target.revision) continue;
      if (status === undefined && report?.groupRevision === this.#plan.config?.groupRevision) continue; // it is about to be named by the group
      late.push({ device, target, ...standing(device, status, target) });
    }
    if (report !== undefined && refused.length > 0) this.#fleet.tooOld.add(report.workerVersion, refused);
    const [first] = late;
    if (first === undefined) return;
    this.#fleet.behindCount++;
    if (this.#fleet.behind.length < MOST_NAMED) this.#fleet.behind.push(first);
  }
}

type Planned = Readonly<
  | { kind: "planned"; steps: readonly TargetStep[]; counted: readonly Omit<CountedStep, "devices">[]; refused: readonly string[] }
  | { kind: "unforeseen" }
>;

type Status = Readonly<{ name: string; revision: bigint; appliedRevision: bigint; state: TargetState; failureCode: FailureCode; reason: string }>;

function standing({ connection }: Device, status: Status | undefined, target: ChangedTarget): Pick<Behind, "state" | "reason"> {
  const answered = status !== undefined && status.revision >= target.revision;
  if (answered && (status.state === TargetState.FAILED || status.failureCode !== FailureCode.UNSPECIFIED))
    return { state: "failed", reason: status.reason };
  if (connection?.state === ConnectionState.OFFLINE) return { state: "offline", reason: "" };
  return { state: answered ? "working" : "waiting", reason: "" };
}

/** The steps of a device as they are counted: of all its apps together, each pull by its image. */
function sums(steps: readonly TargetStep[]): readonly Omit<CountedStep, "devices">[] {
  const byStep = Map.groupBy(steps, ({ step, image }) => `${step} ${image}`);
  return [...byStep.values()].flatMap((same) => {
    const [first] = same;
    return first === undefined
      ? []
      : [{ step: first.step, image: first.image, containers: same.reduce((sum, { containers }) => sum + containers, 0) }];
  });
}

/** Whether the free disk is less than the largest image takes now of the apps that get another one. */
function hasLowDisk(report: Report | undefined, steps: readonly TargetStep[]): boolean {
  const pulling = new Set(steps.filter(({ step }) => step === "pull" || step === "pull_if_missing").map(({ name }) => name));
  const sizes =
    report?.apps.filter(({ name }) => pulling.has(name)).flatMap(({ containers }) => containers.map(({ imageBytes }) => imageBytes)) ?? [];
  const largest = sizes.reduce((most, size) => (size > most ? size : most), 0n);
  const { diskTotalBytes = 0n, diskFreeBytes = 0n } = report?.host ?? {};
  return diskTotalBytes > 0n && diskFreeBytes < largest;
}

/** All of a report that decides the steps of its device. */
function fingerprint(report: Report, needsCapacity: boolean, usesDeviceId: boolean): string {
  return JSON.stringify([
    usesDeviceId ? report.deviceId : "",
    report.boot === "v2",
    report.deviceGroup,
    report.cluster === undefined ? "" : `${report.cluster.id} ${report.cluster.epoch}`,
    report.problems.map(({ code }) => code),
    needsCapacity ? [report.host?.cpuCores ?? 0, String(report.host?.memoryTotalBytes ?? 0n)] : 0,
    report.apps.map(({ name, revision, appliedRevision, state, failureCode, containers }) => [
      name,
      String(revision),
      String(appliedRevision),
      state,
      failureCode,
      containers.map((container) => [container.name, String(container.revision), container.state, container.image]),
    ]),
    report.cronJobs.map(({ name, appliedRevision, containers }) => [name, String(appliedRevision), containers.map(({ image }) => image)]),
  ]);
}

/** Since when a device has been offline, milliseconds since 1970; undefined: it is not, or that is not known. */
export function offlineSince({ connection }: Device): number | undefined {
  return connection?.state === ConnectionState.OFFLINE && connection.since !== undefined ? timestampMs(connection.since) : undefined;
}
