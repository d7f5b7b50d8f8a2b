/**
 * Drift: what the devices of a group run, beside what they should.
 *
 * Pure: all devices of the group and its newest config in, one message out.
 */
import { fromBinary, type MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromMs, timestampMs } from "@bufbuild/protobuf/wkt";
import { type Member, type Standing, type StateOfDevice, stateOfDevice, type Target } from "../../common/insight/device-state.ts";
import type { ConfigStore, EntityKey, StoredEntity } from "../../common/storage/config-store.ts";
import { AppSchema } from "../../gen/nebula/v1/app_pb.ts";
import { CronJobSchema } from "../../gen/nebula/v1/cron_job_pb.ts";
import { DeviceGroupSchema } from "../../gen/nebula/v1/device_group_pb.ts";
import { TargetKind } from "../../gen/nebula/v1/device_pb.ts";
import type { DriftCountSchema, DriftedDeviceSchema, GroupDriftSchema, ImageDriftSchema } from "../../gen/nebula/v1/drift_pb.ts";
import { STANDINGS } from "./apply/apply-tally.ts";
import type { DeviceInGroup } from "./views/group-view.ts";

/** Devices and images that an answer names. */
const MOST_DRIFTED = 100;
const MOST_REPAIRED = 20;
const MOST_IMAGE_IDS = 20;

/** The newest config of a group, as far as devices are compared with it. */
export type Newest = Readonly<{
  deviceGroup: string;
  groupRevision: bigint;
  /** Each member that ever existed. */
  targets: readonly Target[];
  /** By `kind/name`: the image reference of a member that runs. */
  images: ReadonlyMap<string, string>;
  /** When the newest of its revisions was made, milliseconds since 1970. */
  changedAt: number;
}>;

/** A group that is not deleted, the apps and cron_jobs that it names, and those of them that ever existed, as they are stored. */
export type StoredGroup = Readonly<{ group: StoredEntity; named: readonly EntityKey[]; members: readonly StoredEntity[] }>;

/** Reads a group and its members; undefined if the group does not exist. */
export async function readGroup(
  store: Pick<ConfigStore, "get" | "getMany">,
  deviceGroup: string,
  signal: AbortSignal,
): Promise<StoredGroup | undefined> {
  const group = await store.get({ kind: "device_group", name: deviceGroup }, { signal });
  if (group === undefined || group.deleted) return undefined;
  const { apps: appNames, cronJobs: jobNames } = fromBinary(DeviceGroupSchema, group.body);
  const [apps, cronJobs] = await Promise.all([store.getMany("app", appNames, { signal }), store.getMany("cron_job", jobNames, { signal })]);
  const named = [...appNames.map((name) => ({ kind: "app", name }) as const), ...jobNames.map((name) => ({ kind: "cron_job", name }) as const)];
  return { group, named, members: [...apps.values(), ...cronJobs.values()] };
}

/** Reads the newest config of a group; undefined if the group does not exist. */
export async function readNewest(store: Pick<ConfigStore, "get" | "getMany">, deviceGroup: string, signal: AbortSignal): Promise<Newest | undefined> {
  const stored = await readGroup(store, deviceGroup, signal);
  return stored === undefined ? undefined : newestOf(stored);
}

export function newestOf({ group, members }: StoredGroup): Newest {
  const images = new Map<string, string>();
  const targets = members.map((member) => targetOf(member, images));
  const changedAt = Math.max(group.changedAt, ...members.map((member) => member.changedAt));
  return { deviceGroup: group.name, groupRevision: group.revision, targets, images, changedAt };
}

function targetOf({ kind, name, revision, deleted, body }: StoredEntity, images: Map<string, string>): Target {
  const isApp = kind === "app";
  const target = { name, revision };
  if (deleted) return { ...target, kind: isApp ? TargetKind.APP : TargetKind.CRON_JOB, verb: "delete" };
  const { dockerImage, running = true } = fromBinary(isApp ? AppSchema : CronJobSchema, body);
  if (isApp && !running) return { ...target, kind: TargetKind.APP, verb: "stop" };
  images.set(keyOf(isApp ? TargetKind.APP : TargetKind.CRON_JOB, name), dockerImage);
  return { ...target, kind: isApp ? TargetKind.APP : TargetKind.CRON_JOB, verb: "update" };
}

function keyOf(kind: TargetKind, name: string): string {
  return `${kind}/${name}`;
}

type Drifted = MessageInitShape<typeof DriftedDeviceSchema> & Readonly<{ sinceMs: number | undefined }>;

/** Compares the devices of a group with its newest config. */
export function driftOf(newest: Newest, devices: Iterable<DeviceInGroup>): MessageInitShape<typeof GroupDriftSchema> {
  const drifted: Drifted[] = [];
  const repaired: { deviceId: string; repairs: bigint }[] = [];
  const images = new ImageIds(newest);
  const standingOf = standingsWith(newest);
  let [count, repairs] = [0, 0n];
  for (const device of devices) {
    if (device.moves === true) continue; // its old device_group counts it
    count++;
    const { deviceId, summary } = device;
    const state = standingOf(device);
    if (state.state !== "applied") drifted.push(driftedDevice(device, state, newest));
    images.add(device);
    if (summary === undefined || summary.repairs === 0n) continue;
    repairs += summary.repairs;
    repaired.push({ deviceId, repairs: summary.repairs });
  }
  return {
    deviceGroup: newest.deviceGroup,
    groupRevision: newest.groupRevision,
    devices: count,
    newest: count - drifted.length,
    counts: countsOf(drifted),
    drifted: drifted
      .sort(longestFirst)
      .slice(0, MOST_DRIFTED)
      .map(({ sinceMs: _, ...device }) => device),
    images: images.drift(),
    repairs,
    repaired: repaired.sort((a, b) => Number(b.repairs - a.repairs) || (a.deviceId < b.deviceId ? -1 : 1)).slice(0, MOST_REPAIRED),
  };
}

/**
 * Returns where a device stands with the members of its group, and then with the group itself: a device that has the group and not yet a change of a member waits
 * for that. Members that it has containers of, and that its group does not name any more, are to be removed.
 */
export function standingsWith({ deviceGroup: name, groupRevision: revision, targets }: Newest): (device: Standing) => StateOfDevice {
  const known = new Set(targets.map((target) => keyOf(target.kind, target.name)));
  return (device) => {
    const ofMembers = stateOfDevice(device, targets);
    if (ofMembers.state !== "applied") return ofMembers;
    const removed = (device.summary?.targets ?? []).flatMap(({ kind, name: left, containers }): Member[] => {
      if (containers === 0 || known.has(keyOf(kind, left))) return [];
      return [{ kind: kind === TargetKind.CRON_JOB ? TargetKind.CRON_JOB : TargetKind.APP, name: left }];
    });
    return stateOfDevice(device, [{ kind: TargetKind.DEVICE_GROUP, verb: "update", name, revision, added: [], removed }]);
  };
}

/** Returns where a device stands with the newest config of its group. @param newest undefined: the group does not exist, and its devices keep what they run */
export function standingsIn(deviceGroup: string, newest: Newest | undefined): (device: Standing) => StateOfDevice {
  if (newest !== undefined) return standingsWith(newest);
  const kept: Target = { kind: TargetKind.DEVICE_GROUP, verb: "delete", name: deviceGroup, revision: 0n };
  return (device) => stateOfDevice(device, [kept]);
}

function driftedDevice(device: DeviceInGroup, { state, about, code, step }: StateOfDevice, { changedAt }: Newest): Drifted {
  const sinceMs = state === "offline" ? offlineSince(device) : (since(device, about) ?? (state === "failed" ? undefined : changedAt));
  return {
    deviceId: device.deviceId,
    standing: STANDINGS[state],
    failureCode: code,
    stepKind: step,
    ...(about === undefined ? {} : { kind: about.kind, name: about.name }),
    ...(sinceMs === undefined ? {} : { since: timestampFromMs(sinceMs) }),
    sinceMs,
  };
}

function offlineSince({ connection: { since } }: DeviceInGroup): number | undefined {
  return since === undefined ? undefined : timestampMs(since);
}

function since({ summary }: DeviceInGroup, about: StateOfDevice["about"]): number | undefined {
  const target = summary?.targets.find(({ kind, name }) => kind === about?.kind && name === about.name);
  return target === undefined || target.sinceMs === 0n ? undefined : Number(target.sinceMs);
}

/** Compares two devices by time; one without a time is last. */
function longestFirst(a: Drifted, b: Drifted): number {
  const [at, other] = [a.sinceMs ?? Number.MAX_SAFE_INTEGER, b.sinceMs ?? Number.MAX_SAFE_INTEGER];
  return at - other || ((a.deviceId ?? "") < (b.deviceId ?? "") ? -1 : 1);
}

function countsOf(drifted: readonly Drifted[]): MessageInitShape<typeof DriftCountSchema>[] {
  const counts = new Map<
    string,
    { standing: Drifted["standing"]; failureCode: Drifted["failureCode"]; devices: number; sinceMs: number | undefined }
  >();
  for (const { standing, failureCode, sinceMs } of drifted) {
    const key = `${standing}/${failureCode}`;
    const known = counts.get(key);
    const earliest = sinceMs === undefined || (known?.sinceMs ?? Number.POSITIVE_INFINITY) < sinceMs ? known?.sinceMs : sinceMs;
    counts.set(key, { standing, failureCode, devices: (known?.devices ?? 0) + 1, sinceMs: earliest });
  }
  return [...counts.values()]
    .sort((a, b) => b.devices - a.devices || (a.standing ?? 0) - (b.standing ?? 0) || (a.failureCode ?? 0) - (b.failureCode ?? 0))
    .map(({ standing, failureCode, devices, sinceMs }) => ({
      ...(standing === undefined ? {} : { standing }),
      ...(failureCode === undefined ? {} : { failureCode }),
      devices,
      ...(sinceMs === undefined ? {} : { since: timestampFromMs(sinceMs) }),
    }));
}

/** The images that one reference stands for, on the devices that have the newest revision of what names it. */
class ImageIds {
  readonly #newest: Newest;
  readonly #revisions: ReadonlyMap<string, bigint>;
  readonly #devices = new Map<string, Map<string, number>>();

  constructor(newest: Newest) {
    this.#newest = newest;
    this.#revisions = new Map(newest.targets.map(({ kind, name, revision }) => [keyOf(kind, name), revision]));
  }

  add({ summary }: DeviceInGroup): void {
    const ofDevice = new Map<string, Set<string>>();
    for (const { kind, name, appliedRevision, imageIds } of summary?.targets ?? []) {
      const key = keyOf(kind, name);
      const image = this.#newest.images.get(key);
      if (image === undefined || appliedRevision !== this.#revisions.get(key)) continue;
      const ids = ofDevice.get(image) ?? new Set();
      for (const id of imageIds) ids.add(Buffer.from(id).toString("hex"));
      ofDevice.set(image, ids);
    }
    for (const [image, ids] of ofDevice) {
      const counts = this.#devices.get(image) ?? new Map<string, number>();
      for (const id of ids) counts.set(id, (counts.get(id) ?? 0) + 1);
      this.#devices.set(image, counts);
    }
  }

  drift(): MessageInitShape<typeof ImageDriftSchema>[] {
    return [...this.#devices]
      .filter(([, counts]) => counts.size > 1)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([image, counts]) => ({
        image,
        imageIds: [...counts]
          .sort(([a, devices], [b, others]) => others - devices || (a < b ? -1 : 1))
          .slice(0, MOST_IMAGE_IDS)
          .map(([imageId, devices]) => ({ imageId, devices })),
      }));
  }
}
