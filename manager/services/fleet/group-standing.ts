/**
 * The devices of one device_group in numbers, by where they stand with its newest config, and with each of its members. The numbers move by the devices that
 * change: nothing is kept per device.
 */
import type { MessageInitShape } from "@bufbuild/protobuf";
import { DEVICE_STATES, type DeviceState, isOnline, type StateOfDevice, stateOfDevice, type Target } from "../../../common/insight/device-state.ts";
import { move } from "../../../common/insight/device-tally.ts";
import { entityKindOf } from "../../../common/resources/target-kind.ts";
import { keyText } from "../../../common/storage/config-store.ts";
import type { StandingCountsSchema } from "../../../gen/nebula/v1/fleet_pb.ts";
import type { FailureCode } from "../../../gen/nebula/v1/report_pb.ts";
import { type Newest, standingsIn } from "../../insight/drift.ts";
import { memoryOf } from "../../insight/views/group-mirror.ts";
import type { DeviceChange, DeviceInGroup } from "../../insight/views/group-view.ts";

/** Devices by state, and those that are online. */
export type StateCounts = Record<DeviceState, number> & { online: number };

type Member = Readonly<{ target: Target; counts: StateCounts }>;

export class GroupStanding {
  /** With the newest config of the group. */
  readonly counts = noDevices();
  /** Of those that failed. */
  readonly failures = new Map<FailureCode, number>();
  /** By the worker's version. */
  readonly versions = new Map<string, number>();
  /** By the codes of what is wrong with a device as a whole. */
  readonly problems = new Map<string, number>();
  /** Workers of the original. */
  original = 0;
  /** Memory of the devices in a mirror, about. */
  bytes = 0;
  readonly #members: ReadonlyMap<string, Member>;
  readonly #standingOf: (device: DeviceInGroup) => StateOfDevice;

  /** @param newest undefined: the group does not exist, and its devices keep what they run */
  constructor(deviceGroup: string, newest: Newest | undefined) {
    this.#standingOf = standingsIn(deviceGroup, newest);
    this.#members = new Map((newest?.targets ?? []).map((target) => [keyOf(target), { target, counts: noDevices() }]));
  }

  /** With the newest revision of a member, by its key's text; undefined if it is not a member. */
  ofMember(key: string): StateCounts | undefined {
    return this.#members.get(key)?.counts;
  }

  /** All that are counted. */
  get devices(): number {
    return DEVICE_STATES.reduce((sum, state) => sum + this.counts[state], 0);
  }

  change({ before, after }: DeviceChange): void {
    if (before !== undefined) this.#count(before, -1);
    if (after !== undefined) this.#count(after, 1);
  }

  #count(device: DeviceInGroup, by: 1 | -1): void {
    const { state, code } = this.#standingOf(device);
    const online = isOnline(device) ? by : 0;
    this.counts[state] += by;
    this.counts.online += online;
    if (state === "failed") move(this.failures, code, by);
    for (const { target, counts } of this.#members.values()) {
      counts[stateOfDevice(device, [target]).state] += by;
      counts.online += online;
    }
    this.bytes += by * memoryOf(device);
    const { summary } = device;
    if (summary === undefined) return;
    move(this.versions, summary.workerVersion, by);
    if (summary.original) this.original += by;
    for (const problem of new Set(summary.problems)) move(this.problems, problem, by);
  }
}

function keyOf({ kind, name }: Target): string {
  return keyText({ kind: entityKindOf(kind) ?? "app", name });
}

export function noDevices(): StateCounts {
  return { applied: 0, failed: 0, offline: 0, working: 0, waiting: 0, online: 0 };
}

/** Adds other counts to these. */
export function addCounts(to: StateCounts, counts: StateCounts): void {
  for (const state of DEVICE_STATES) to[state] += counts[state];
  to.online += counts.online;
}

export function countsMessage(counts: StateCounts, neverCame = 0): MessageInitShape<typeof StandingCountsSchema> {
  const numbers = Object.fromEntries(Object.entries(counts).map(([state, count]) => [state, BigInt(count)]));
  return { ...numbers, neverCame: BigInt(neverCame) };
}
