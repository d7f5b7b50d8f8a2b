/**
 * The device_group that a device is in: that of its own token, else that of its newest status.
 *
 * P1 A device's group is read at most once per cacheTimeMs; what was read counts until then, unless this shard changed
 *    it.
 * P2 A device without a group is read every time: nobody holds its id, and the one who takes it is seen at once.
 * P3 Memory is bounded: MOST_KEPT devices; the one that was kept first is evicted.
 */

import { BoundedMap } from "../../common/bounded-map.ts";
import type { Clock } from "../../common/clock/clock.ts";
import { NebulaError } from "../../common/errors/nebula-error.ts";
import type { AccessStore } from "../../common/storage/access-store.ts";
import type { ReportStore } from "../../common/storage/report-store.ts";
import { quote } from "../../common/text/wording.ts";
import { SharedWork } from "./shared-work.ts";

/** As many as one process has connections. */
const MOST_KEPT = 100_000;

/** Where a device is. */
export type PresentGroup = Readonly<{
  deviceGroup: string;
  /** Whether the device has a token of its own. */
  hasToken: boolean;
}>;

export type PresentGroupsDeps = Readonly<{
  accessStore: Pick<AccessStore, "deviceToken">;
  reportStore: Pick<ReportStore, "getDevice">;
  clock: Pick<Clock, "monotonic">;
  cacheTimeMs: number;
}>;

type Kept = { readonly group: SharedWork<PresentGroup | undefined>; readonly readAt: number; found: PresentGroup | undefined };

export class PresentGroups {
  readonly #deps: PresentGroupsDeps;
  /** A Map keeps the order of insertion. */
  readonly #kept = new BoundedMap<string, Kept>(MOST_KEPT); // P3

  constructor(deps: PresentGroupsDeps) {
    this.#deps = deps;
  }

  /**
   * The group of a device; undefined: it has neither a token nor a status. Rejects with `unavailable` where a store
   * does.
   * @param signal of the call that asks: a read that every call has left is cut
   */
  of(deviceId: string, signal?: AbortSignal): Promise<PresentGroup | undefined> {
    const now = this.#deps.clock.monotonic();
    const kept = this.#kept.get(deviceId);
    if (kept !== undefined && now < kept.readAt + this.#deps.cacheTimeMs && !kept.group.abandoned) return kept.group.join(signal); // P1
    const read: Kept = {
      readAt: now,
      found: undefined,
      group: new SharedWork(async (whileWanted) => {
        try {
          const found = await this.#read(deviceId, whileWanted);
          read.found = found;
          return found;
        } finally {
          if (read.found === undefined && this.#kept.get(deviceId) === read) this.#kept.delete(deviceId); // P2
        }
      }),
    };
    this.#kept.set(deviceId, read);
    return read.group.join(signal);
  }

  /** A device has reported as one of this group: what is known otherwise is read again. */
  reported(deviceId: string, deviceGroup: string): void {
    if (this.#kept.get(deviceId)?.found?.deviceGroup !== deviceGroup) this.#kept.delete(deviceId);
  }

  /** The group of a device may have changed. */
  forget(deviceId: string): void {
    this.#kept.delete(deviceId);
  }

  async #read(deviceId: string, signal: AbortSignal): Promise<PresentGroup | undefined> {
    const { accessStore, reportStore } = this.#deps;
    const token = await accessStore.deviceToken(deviceId, signal);
    if (token !== undefined) return { deviceGroup: token.deviceGroup, hasToken: true };
    const device = await reportStore.getDevice(deviceId, signal);
    return device === undefined ? undefined : { deviceGroup: device.deviceGroup, hasToken: false };
  }
}

/**
 * The refusal of a caller who has no rights where the device is. Reveals nothing else: neither the group, nor
 * whether the device has a token.
 */
export function inUseElsewhere(deviceId: string): NebulaError {
  return new NebulaError(
    "permission_denied",
    `the device id ${quote(deviceId)} is in use where this caller has no rights: give this device an id of its own, or ask an admin to move the device`,
    { audited: true },
  );
}
