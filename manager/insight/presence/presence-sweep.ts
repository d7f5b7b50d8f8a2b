import type { Clock } from "../../../common/clock/clock.ts";
import { messageOf } from "../../../common/errors/nebula-error.ts";
import { connectionOf, supersededRows } from "../../../common/insight/connection.ts";
import type { Log } from "../../../common/log/log.ts";
import type { PresenceRow, PresenceStore } from "../../../common/storage/presence-store.ts";
import { ConnectionState } from "../../../gen/nebula/v1/device_pb.ts";
import type { DeviceConnections } from "./device-connections.ts";

/** How often each group is swept, milliseconds, jittered: far more often than a shard starts. */
const EVERY_MS = 6 * 3_600_000;
/** Rows that are read at a time, and the pause after them, milliseconds: everything else has its turn in it. */
const PAGE = 500;
const PAUSE_MS = 100;

export type PresenceSweepDeps = Readonly<{
  store: Pick<PresenceStore, "listPresence" | "presenceOf" | "deletePresence">;
  deviceConnections: Pick<DeviceConnections, "boots">;
  /** The device_groups that are watched here now. */
  groups: () => readonly string[];
  clock: Clock;
  log: Log;
  /** Between 0 and 1; random. */
  jitter?: () => number;
}>;

/**
 * Removes the presence that says nothing any more, of the device_groups watched here, every few hours until the signal is aborted: each start of a shard leaves a row
 * of each device that was connected to it.
 */
export async function sweepPresence(deps: PresenceSweepDeps, signal: AbortSignal): Promise<void> {
  const { clock, log, groups, jitter = Math.random } = deps;
  while (!signal.aborted) {
    await clock.sleep(EVERY_MS * (0.5 + jitter() / 2), signal).catch(() => {});
    for (const deviceGroup of signal.aborted ? [] : groups()) {
      await sweepGroup(deps, deviceGroup, signal).catch((error: unknown) => {
        if (!signal.aborted) log.warn({ device_group: deviceGroup, error: messageOf(error) }, "old presence could not be removed; it is tried again");
      });
    }
  }
}

async function sweepGroup({ store, deviceConnections, clock }: PresenceSweepDeps, deviceGroup: string, signal: AbortSignal): Promise<void> {
  for (let after: string | undefined; !signal.aborted; ) {
    const page = await store.listPresence(deviceGroup, after === undefined ? { limit: PAGE } : { limit: PAGE, after }, signal);
    const boots = await deviceConnections.boots(page.items, signal);
    const nowMs = clock.now();
    const byDevice = Map.groupBy(page.items, ({ deviceId }) => deviceId);
    // One row of an online device needs no look; of another one there may be rows in other groups, and on the next page.
    const inDoubt = [...byDevice].filter(
      ([, rows]) => rows.length > 1 || connectionOf(rows, undefined, boots, nowMs).state !== ConnectionState.ONLINE,
    );
    const all = await store.presenceOf(
      inDoubt.map(([deviceId]) => deviceId),
      signal,
    );
    const superseded = [...all.values()].flatMap((rows): readonly PresenceRow[] => supersededRows(rows, boots, nowMs));
    for (let from = 0; from < superseded.length; from += PAGE) await store.deletePresence(superseded.slice(from, from + PAGE), signal);
    if (page.next === undefined) return;
    after = page.next;
    await clock.sleep(PAUSE_MS, signal);
  }
}
