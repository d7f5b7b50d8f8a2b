/**
 * Limits of the reports of one device, and of the devices of one group.
 *
 * L1 Reports pass a bucket per device: REPORTS.inARow in a row, then one per REPORTS.oneMoreMs; a call counts its
 *    reports.
 * L2 A group has at most `mostDevices` devices without a token of their own, and so have all groups together that do
 *    not exist. They are counted in the store at most once per COUNTED_MS; between two counts the devices that this
 *    shard admitted are added.
 * L3 Memory is bounded: MOST_BUCKETS devices and MOST_COUNTS groups.
 */

import { setImmediate as turn } from "node:timers/promises";
import { BoundedMap } from "../../../common/bounded-map.ts";
import type { Clock } from "../../../common/clock/clock.ts";
import { NebulaError } from "../../../common/errors/nebula-error.ts";
import type { ConfigStore } from "../../../common/storage/config-store.ts";
import type { ReportStore } from "../../../common/storage/report-store.ts";
import { shown } from "../../../common/text/wording.ts";
import { groupKey } from "../rights/rights.ts";
import { createBuckets } from "./buckets.ts";

/** Reports of a device in a row, and how long one more takes to be allowed, milliseconds. */
export const REPORTS = { inARow: 20, oneMoreMs: 2000 } as const;
/** How long a count of a group's devices holds, milliseconds. */
export const COUNTED_MS = 60_000;
const MOST_BUCKETS = 100_000;
const MOST_COUNTS = 10_000;
/** The count of all groups that do not exist: not a valid name of a group. */
const NOT_EXISTING = "";
/** Names of groups that are looked up at a time: between two parts other calls have their turn. */
const NAMES = 500;

export type ReportLimits = {
  /** L1: throws `resource_exhausted`, with a retry time, where a device reports too often. */
  assertRate(deviceId: string, reports: number): void;
  /**
   * L2: rejects with `resource_exhausted`, with a retry time, where a group has no room for one more device without a
   * token of its own.
   */
  assertRoom(deviceGroup: string): Promise<void>;
};

export type ReportLimitsDeps = Readonly<{
  reportStore: Pick<ReportStore, "countWithoutToken" | "groupsWithoutToken">;
  configStore: Pick<ConfigStore, "get" | "getMany">;
  /** NEBULA_MAX_DEVICES_PER_GROUP */
  mostDevices: number;
  clock: Pick<Clock, "monotonic">;
}>;

type Count = { readonly stored: Promise<number>; readonly countedAt: number; admitted: number };

export function createReportLimits({ reportStore, configStore, mostDevices, clock }: ReportLimitsDeps): ReportLimits {
  const take = createBuckets({ ...REPORTS, most: MOST_BUCKETS }, clock);
  /** A Map keeps the order of insertion. */
  const counts = new BoundedMap<string, Count>(MOST_COUNTS); // L3

  async function exists(deviceGroup: string): Promise<boolean> {
    return (await configStore.get(groupKey(deviceGroup)))?.deleted === false;
  }

  /** The devices without a token of their own in groups that do not exist; counts to `mostDevices` at the furthest. */
  async function countNotExisting(): Promise<number> {
    let devices = 0;
    for (let after: string | undefined = ""; after !== undefined; ) {
      const names: readonly string[] = await reportStore.groupsWithoutToken({ after, limit: NAMES });
      const stored = await configStore.getMany("device_group", names);
      for (const name of names) {
        if (stored.get(name)?.deleted === false) continue;
        devices += await reportStore.countWithoutToken(name, mostDevices - devices);
        if (devices >= mostDevices) return devices;
      }
      after = names.length < NAMES ? undefined : names.at(-1);
      if (after !== undefined) await turn();
    }
    return devices;
  }

  /** @param key the name of a group that exists, or NOT_EXISTING */
  function countOf(key: string): Count {
    const now = clock.monotonic();
    const known = counts.get(key);
    if (known !== undefined && now < known.countedAt + COUNTED_MS) return known;
    const stored = key === NOT_EXISTING ? countNotExisting() : reportStore.countWithoutToken(key, mostDevices);
    const count: Count = { stored, countedAt: now, admitted: 0 };
    count.stored.catch(() => {
      if (counts.get(key) === count) counts.delete(key); // each caller that waits for it rejects with the reason
    });
    counts.set(key, count);
    return count;
  }

  return {
    assertRate(deviceId, reports) {
      const retryAfterMs = take(deviceId, reports);
      if (retryAfterMs === 0) return;
      const seconds = Math.ceil(retryAfterMs / 1000);
      throw new NebulaError("resource_exhausted", `the device ${shown(deviceId)} reports too often: report again in ${seconds} s`, { retryAfterMs });
    },

    async assertRoom(deviceGroup) {
      const isGroup = await exists(deviceGroup);
      const count = countOf(isGroup ? deviceGroup : NOT_EXISTING);
      const stored = await count.stored;
      if (stored + count.admitted < mostDevices) {
        count.admitted++;
        return;
      }
      const retryAfterMs = Math.max(1000, count.countedAt + COUNTED_MS - clock.monotonic());
      const who = isGroup ? `the device_group ${deviceGroup} has` : `the device_group ${deviceGroup} does not exist, and all such together have`;
      const why = `${who} ${mostDevices} devices without a token of their own, the most that there may be (NEBULA_MAX_DEVICES_PER_GROUP)`;
      throw new NebulaError("resource_exhausted", `${why}; enrol this device (nebulactl devices enroll), or delete devices that are gone`, {
        retryAfterMs,
      });
    },
  };
}
