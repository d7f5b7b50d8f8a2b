import { create } from "@bufbuild/protobuf";
import { ConnectionState, type DeviceCounts, DeviceCountsSchema } from "../../gen/nebula/v1/device_pb.ts";
import { FailureCode, TargetState } from "../../gen/nebula/v1/report_pb.ts";
import type { SeenDevice } from "./device-filter.ts";
import { isAtNewest, type NewestConfig } from "./newest-config.ts";

/** Problems and versions that counts name. */
const MOST_NAMED = 20;

/** The devices of a device_group in numbers, which move by the devices that change. */
export class DeviceTally {
  readonly #newest: NewestConfig | undefined;
  readonly #states = new Map<TargetState, number>();
  readonly #connections = new Map<ConnectionState, number>();
  readonly #codes = new Map<FailureCode, number>();
  readonly #problems = new Map<string, number>();
  readonly #versions = new Map<string, number>();
  #devices = 0;
  #notNewest = 0;
  #original = 0;
  #newestReceivedAtMs = 0n;

  /** @param newest the config of the group; undefined: it does not exist */
  constructor(newest: NewestConfig | undefined) {
    this.#newest = newest;
  }

  add(device: SeenDevice): void {
    this.#move(device, 1);
    const received = device.summary?.receivedAtMs ?? 0n;
    if (received > this.#newestReceivedAtMs) this.#newestReceivedAtMs = received;
  }

  /** Takes a device back as it was added. */
  remove(device: SeenDevice): void {
    this.#move(device, -1);
  }

  change({ before, after }: Readonly<{ before: SeenDevice | undefined; after: SeenDevice | undefined }>): void {
    if (before !== undefined) this.remove(before);
    if (after !== undefined) this.add(after);
  }

  counts(deviceGroup: string): DeviceCounts {
    const state = (of: TargetState) => BigInt(this.#states.get(of) ?? 0);
    return create(DeviceCountsSchema, {
      deviceGroup,
      devices: BigInt(this.#devices),
      applied: state(TargetState.APPLIED),
      working: state(TargetState.WORKING),
      failed: state(TargetState.FAILED),
      unknown: state(TargetState.UNSPECIFIED),
      online: BigInt(this.#connections.get(ConnectionState.ONLINE) ?? 0),
      offline: BigInt(this.#connections.get(ConnectionState.OFFLINE) ?? 0),
      notNewest: BigInt(this.#notNewest),
      original: BigInt(this.#original),
      failureCodes: mostFrequent(this.#codes).map(([failureCode, devices]) => ({ failureCode, devices })),
      problems: mostFrequent(this.#problems, MOST_NAMED).map(([code, devices]) => ({ code, devices })),
      workerVersions: mostFrequent(this.#versions, MOST_NAMED).map(([workerVersion, devices]) => ({ workerVersion, devices })),
      newestReceivedAtMs: this.#newestReceivedAtMs,
    });
  }

  #move({ summary, connection }: SeenDevice, by: 1 | -1): void {
    this.#devices += by;
    move(this.#states, summary?.state ?? TargetState.UNSPECIFIED, by);
    move(this.#connections, connection.state, by);
    if (!isAtNewest(summary, this.#newest)) this.#notNewest += by;
    if (summary === undefined) return;
    if (summary.original) this.#original += by;
    move(this.#versions, summary.workerVersion, by);
    for (const code of new Set(summary.targets.map(({ failureCode }) => failureCode))) {
      if (code !== FailureCode.UNSPECIFIED) move(this.#codes, code, by);
    }
    for (const code of new Set(summary.problems)) move(this.#problems, code, by);
  }
}

/** Adds to a count; one of 0 is not kept. */
export function move<Key>(counts: Map<Key, number>, key: Key, by: number): void {
  const count = (counts.get(key) ?? 0) + by;
  if (count === 0) counts.delete(key);
  else counts.set(key, count);
}

/** The counts, the largest first, at most `most`. */
export function mostFrequent<Key extends string | number>(counts: ReadonlyMap<Key, number>, most = Number.POSITIVE_INFINITY): [Key, bigint][] {
  return [...counts]
    .sort(([one, a], [other, b]) => b - a || (one < other ? -1 : 1))
    .slice(0, most)
    .map(([key, count]) => [key, BigInt(count)]);
}
