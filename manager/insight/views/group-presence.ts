import { type PresenceRow, presenceVersion } from "../../../common/storage/presence-store.ts";
import type { PresenceChange } from "../../../gen/nebula/v1/device_pb.ts";

/** By device and boot. */
type Rows = Map<string, ReadonlyMap<string, PresenceRow>>;

/**
 * The watches of the devices of one device_group, by device and boot of a shard. Of two words on one the larger (stream, ended) counts, so they may come late,
 * twice and in any order. A read takes the place of all that was announced before it began.
 */
export class GroupPresence {
  readonly #deviceGroup: string;
  #rows: Rows = new Map();
  /** The announcements since the read under way began. */
  #announced: PresenceRow[] | undefined;

  constructor(deviceGroup: string) {
    this.#deviceGroup = deviceGroup;
  }

  /** The rows of a device. */
  of(deviceId: string): readonly PresenceRow[] {
    return [...(this.#rows.get(deviceId)?.values() ?? [])];
  }

  devices(): IterableIterator<string> {
    return this.#rows.keys();
  }

  /** Takes announcements; answers the devices whose rows changed. */
  fold(changes: readonly PresenceChange[]): string[] {
    return changes.flatMap(({ deviceId, shardBoot, stream, ended, atMs }) => {
      const row = { deviceGroup: this.#deviceGroup, deviceId, shardBoot, stream: Number(stream), ended, atMs: Number(atMs) };
      this.#announced?.push(row);
      return put(this.#rows, row) ? [deviceId] : [];
    });
  }

  begin(): void {
    this.#announced = [];
  }

  /** Takes what a read found since `begin`; answers the devices whose rows changed. */
  replace(found: readonly PresenceRow[]): string[] {
    const before = this.#rows;
    const after: Rows = new Map();
    for (const row of [...found, ...(this.#announced ?? [])]) {
      const known = before.get(row.deviceId);
      // the one row of most devices is as it was
      if (known?.size === 1 && !after.has(row.deviceId) && isSameVersion(row, known.get(row.shardBoot))) after.set(row.deviceId, known);
      else put(after, row);
    }
    this.#rows = after;
    this.#announced = undefined;
    const changed: string[] = [];
    for (const [deviceId, rows] of after) if (!isSame(before.get(deviceId), rows)) changed.push(deviceId);
    for (const deviceId of before.keys()) if (!after.has(deviceId)) changed.push(deviceId);
    return changed;
  }

  /** The read failed. */
  cancel(): void {
    this.#announced = undefined;
  }
}

/** Takes a row unless a newer one of its device and boot is known; answers whether it took it. */
function put(rows: Rows, row: PresenceRow): boolean {
  const known = rows.get(row.deviceId);
  const other = known?.get(row.shardBoot);
  if (other !== undefined && presenceVersion(row) <= presenceVersion(other)) return false;
  rows.set(row.deviceId, new Map(known).set(row.shardBoot, row));
  return true;
}

function isSame(one: ReadonlyMap<string, PresenceRow> | undefined, other: ReadonlyMap<string, PresenceRow>): boolean {
  if (one === other) return true;
  return one?.size === other.size && [...one].every(([boot, row]) => isSameVersion(row, other.get(boot)));
}

function isSameVersion(one: PresenceRow, other: PresenceRow | undefined): boolean {
  return other !== undefined && presenceVersion(one) === presenceVersion(other);
}
