import { type PresenceRow, presenceVersion } from "../../../common/storage/presence-store.ts";
import type { PresenceChange } from "../../../gen/nebula/v1/device_pb.ts";

/**
 * The watches of the devices of one device_group, by device and boot of a shard. Of two words on one the larger (stream, ended) counts, so they may come late,
 * twice and in any order. A read takes the place of all that was announced before it began.
 */
export class GroupPresence {
  readonly #deviceGroup: string;
  readonly #rows = new Map<string, ReadonlyMap<string, PresenceRow>>();
  /** What was announced since the read under way began. */
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
      return this.#put(row) ? [deviceId] : [];
    });
  }

  begin(): void {
    this.#announced = [];
  }

  /** Takes what a read found since `begin`; answers the devices whose rows changed. */
  replace(found: readonly PresenceRow[]): string[] {
    const before = new Map(this.#rows);
    this.#rows.clear();
    for (const row of [...found, ...(this.#announced ?? [])]) this.#put(row);
    this.#announced = undefined;
    const all = new Set([...before.keys(), ...this.#rows.keys()]);
    return [...all].filter((deviceId) => !isSame(before.get(deviceId), this.#rows.get(deviceId)));
  }

  /** The read failed. */
  cancel(): void {
    this.#announced = undefined;
  }

  #put(row: PresenceRow): boolean {
    const known = this.#rows.get(row.deviceId);
    const other = known?.get(row.shardBoot);
    if (other !== undefined && presenceVersion(row) <= presenceVersion(other)) return false;
    this.#rows.set(row.deviceId, new Map(known).set(row.shardBoot, row));
    return true;
  }
}

function isSame(one: ReadonlyMap<string, PresenceRow> | undefined, other: ReadonlyMap<string, PresenceRow> | undefined): boolean {
  if (one === undefined || other === undefined || one.size !== other.size) return false;
  return [...one].every(([boot, row]) => {
    const same = other.get(boot);
    return same !== undefined && presenceVersion(same) === presenceVersion(row);
  });
}
