import { type PresenceRow, presenceVersion } from "../../../common/storage/presence-store.ts";
import type { PresenceChange } from "../../../gen/nebula/v1/device_pb.ts";

/** By device: nearly every device has one row. */
type Rows = Map<string, PresenceRow | readonly PresenceRow[]>;

const NONE: readonly PresenceRow[] = [];

/** The rows that a read found, in its order, and the mark of the store at which it has these rows, and no others. */
type Read = Readonly<{ rows: readonly PresenceRow[]; mark: string | undefined }>;

const NO_READ: Read = { rows: NONE, mark: undefined };

/**
 * The watches of the devices of one device_group, by device and boot of a shard. Of two words on one the larger (stream, ended) counts, so they may come late,
 * twice and in any order. A read takes the place of all that was announced before it began.
 */
export class GroupPresence {
  readonly #deviceGroup: string;
  #rows: Rows = new Map();
  /** The announcements since the read under way began. */
  #announced: PresenceRow[] | undefined;
  /** The rows that the read under way found so far, and whether each of them is the only one that is known of its device. */
  #found: PresenceRow[] = [];
  #isAsFound = true;
  /** The mark of the store when that read began. */
  #mark: string | undefined;
  /** The last read, while its rows are all that are known: nearly always the next one finds the same. */
  #last = NO_READ;

  constructor(deviceGroup: string) {
    this.#deviceGroup = deviceGroup;
  }

  /** The rows of a device, of each boot one. */
  of(deviceId: string): readonly PresenceRow[] {
    return listOf(this.#rows.get(deviceId));
  }

  devices(): IterableIterator<string> {
    return this.#rows.keys();
  }

  /** Takes announcements; answers the devices whose rows changed. */
  fold(changes: readonly PresenceChange[]): string[] {
    return changes.flatMap(({ deviceId, shardBoot, stream, ended, atMs }) => {
      const row = { deviceGroup: this.#deviceGroup, deviceId, shardBoot, stream: Number(stream), ended, atMs: Number(atMs) };
      this.#announced?.push(row);
      if (!put(this.#rows, row)) return [];
      this.#last = NO_READ;
      return [deviceId];
    });
  }

  /** The rows that the store has, where it has the same mark as when they were read, and nothing else is known. */
  foundAt(mark: string | undefined): readonly PresenceRow[] | undefined {
    return mark !== undefined && mark === this.#last.mark ? this.#last.rows : undefined;
  }

  /** @param mark of the store, taken before its first page is read */
  begin(mark: string | undefined): void {
    this.#mark = mark;
    this.#announced = [];
    this.#found = [];
    this.#isAsFound = true;
  }

  /** Takes rows that a read found. One that is known as it is found is kept, so that a read leaves no second copy of the group. */
  take(rows: readonly PresenceRow[]): void {
    for (const row of rows) {
      const expected = this.#last.rows[this.#found.length];
      if (expected?.deviceId === row.deviceId && isSameRow(row, expected)) {
        this.#found.push(expected);
        continue;
      }
      const known = this.#rows.get(row.deviceId);
      const isKnown = known !== undefined && "deviceId" in known && isSameRow(row, known);
      if (!isKnown) this.#isAsFound = false;
      this.#found.push(isKnown ? known : row);
    }
  }

  /** Ends a read: what it found, and what was announced since it began, counts. Answers the rows that it found, and the devices whose rows changed. */
  end(): Readonly<{ found: readonly PresenceRow[]; changed: readonly string[] }> {
    const [before, found, announced] = [this.#rows, this.#found, this.#announced ?? []];
    const isAsFound = this.#isAsFound && announced.length === 0 && found.length === before.size; // each device has one row, and these are all
    this.cancel();
    this.#last = announced.length === 0 ? { rows: found, mark: this.#mark } : NO_READ;
    if (isAsFound) return { found, changed: [] };
    const after: Rows = new Map();
    for (const row of found) put(after, row);
    for (const row of announced) put(after, row);
    this.#rows = after;
    if (before.size === 0) return { found, changed: [...after.keys()] };
    const changed: string[] = [];
    for (const [deviceId, rows] of after) if (!isSame(listOf(before.get(deviceId)), listOf(rows))) changed.push(deviceId);
    for (const deviceId of before.keys()) if (!after.has(deviceId)) changed.push(deviceId);
    return { found, changed };
  }

  /** Forgets a read that failed. */
  cancel(): void {
    this.#announced = undefined;
    this.#found = [];
  }

  /** Forgets rows, unless newer ones are known by now. */
  remove(rows: Iterable<PresenceRow>): void {
    for (const row of rows) {
      this.#last = NO_READ;
      const left = this.of(row.deviceId).filter((known) => !isSameRow(known, row));
      const [only] = left;
      if (only === undefined) this.#rows.delete(row.deviceId);
      else this.#rows.set(row.deviceId, left.length === 1 ? only : left);
    }
  }
}

/** Takes a row unless a newer one of its device and boot is known; answers whether it took it. */
function put(rows: Rows, row: PresenceRow): boolean {
  const known = rows.get(row.deviceId);
  if (known === undefined) {
    rows.set(row.deviceId, row);
    return true;
  }
  const others = listOf(known);
  const other = others.find(({ shardBoot }) => shardBoot === row.shardBoot);
  if (other !== undefined && presenceVersion(row) <= presenceVersion(other)) return false;
  rows.set(row.deviceId, others.length === 1 && other !== undefined ? row : [...others.filter((each) => each !== other), row]);
  return true;
}

function listOf(rows: PresenceRow | readonly PresenceRow[] | undefined): readonly PresenceRow[] {
  if (rows === undefined) return NONE;
  return "deviceId" in rows ? [rows] : rows;
}

function isSame(one: readonly PresenceRow[], other: readonly PresenceRow[]): boolean {
  return one.length === other.length && one.every((row) => other.some((each) => isSameRow(row, each)));
}

function isSameRow(one: PresenceRow, other: PresenceRow): boolean {
  return one.shardBoot === other.shardBoot && presenceVersion(one) === presenceVersion(other);
}
