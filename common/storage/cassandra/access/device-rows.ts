/**
 * The row of a device's token, and what it says of the rows in `token_owner`.
 *
 * D1 A row is pending (the device enrols), in, ending (it is being revoked) or ended. A row is never removed; each
 *    enrolment raises its generation.
 * D2 A token answers alone once it was used: until then its row in `token_owner` is `new` or `next`, and counts where
 *    the device's row names its hash.
 * D3 Rows of the list carry the generation as their timestamps, so that a late delete never hides a newer enrolment.
 *    Readers check them against the device.
 */
import type { StoredDeviceToken } from "../../access-store.ts";
import { integer, type Row, text } from "../connection/rows.ts";
import { ACCESS_PART } from "../schema/access-tables.ts";
import { type AccessPartition, type Change, newWriter, oneOf, type ReadKind, type TokenRow } from "./access-partition.ts";

type Signal = AbortSignal | undefined;

export type DeviceRow = StoredDeviceToken &
  Readonly<{
    state: "pending" | "in" | "ending" | "ended";
    generation: number;
    /** The token that a rotation has ended; empty: none. */
    endedHash: string;
    writer: string;
  }>;

const COLUMNS = "device_id, state, generation, device_group, token_hash, next_hash, ended_hash, enrolment_id, enrolled_at, rotated_at, writer";
export const SELECT_DEVICE = `SELECT ${COLUMNS} FROM device_token WHERE device_id = ?`;
const PUT_DEVICE =
  "UPDATE device_token SET state = ?, generation = ?, device_group = ?, token_hash = ?, next_hash = ?, ended_hash = ?, enrolment_id = ?, enrolled_at = ?, rotated_at = ?, writer = ? WHERE device_id = ? IF writer = ?";
const PUT_IN_GROUP = "INSERT INTO device_token_group (device_group, device_id) VALUES (?, ?) USING TIMESTAMP ?";
const DROP_IN_GROUP = "DELETE FROM device_token_group USING TIMESTAMP ? WHERE device_group = ? AND device_id = ?";
const PUT_GROUP = "INSERT INTO device_token_groups (part, device_group) VALUES (?, ?)";

/** Groups of the list that a process remembers to have put there. */
const MOST_KNOWN_GROUPS = 10_000;

export class DeviceRows {
  readonly #partition: AccessPartition;
  readonly #knownGroups = new Set<string>();

  constructor(partition: AccessPartition) {
    this.#partition = partition;
  }

  async read(deviceId: string, kind: ReadKind, signal: Signal): Promise<DeviceRow | undefined> {
    const [row] = await this.#partition.rows("device_token", { cql: SELECT_DEVICE, params: [deviceId] }, kind, signal);
    return row === undefined ? undefined : deviceRowOf(row);
  }

  /** Puts a row in place of exactly this one (undefined: the row must not exist). */
  put(next: Omit<DeviceRow, "writer">, before: DeviceRow | undefined, signal: Signal): Promise<Change> {
    const writer = newWriter();
    const isMine = async () => {
      const found = await this.read(next.deviceId, "serial_read", signal);
      return found?.writer === writer ? true : found?.writer === before?.writer ? false : undefined;
    };
    const values = [next.state, next.generation, next.deviceGroup, next.tokenHash, next.nextHash, next.endedHash, next.enrolmentId];
    const params = [
      ...values,
      BigInt(Math.trunc(next.enrolledAt)),
      BigInt(Math.trunc(next.rotatedAt)),
      writer,
      next.deviceId,
      before?.writer ?? null,
    ];
    return this.#partition.change("device_token", [{ cql: PUT_DEVICE, params }], isMine, signal);
  }

  /** D3: before the device is in. */
  async list({ deviceGroup, deviceId, generation }: Omit<DeviceRow, "writer">, signal: Signal): Promise<void> {
    const { client } = this.#partition;
    if (!this.#knownGroups.has(deviceGroup)) {
      await client.execute({ cql: PUT_GROUP, params: [ACCESS_PART, deviceGroup] }, { table: "device_token_groups", kind: "write", signal });
      if (this.#knownGroups.size < MOST_KNOWN_GROUPS) this.#knownGroups.add(deviceGroup);
    }
    const params = [deviceGroup, deviceId, BigInt(generation)];
    await client.execute({ cql: PUT_IN_GROUP, params }, { table: "device_token_group", kind: "write", signal });
  }

  /** D3: removes rows of the list that the devices' rows contradict. */
  async unlist(stale: readonly Readonly<{ deviceGroup: string; deviceId: string; generation: number }>[], signal: Signal): Promise<void> {
    if (stale.length === 0) return;
    const values = stale.map(({ deviceGroup, deviceId, generation }) => [BigInt(generation), deviceGroup, deviceId]);
    await this.#partition.client.executeMany(DROP_IN_GROUP, values, { table: "device_token_group", kind: "write", signal });
  }
}

/**
 * The device as callers see it; undefined: it has no token. One that is being revoked is there until that is done, so
 * that the call can be repeated.
 */
export function deviceTokenOf(row: DeviceRow | undefined): StoredDeviceToken | undefined {
  if (row === undefined || (row.state !== "in" && row.state !== "ending")) return undefined;
  const { deviceId, deviceGroup, tokenHash, nextHash, enrolmentId, enrolledAt, rotatedAt } = row;
  return { deviceId, deviceGroup, tokenHash, nextHash, enrolmentId, enrolledAt, rotatedAt };
}

/** Returns the standing of a token by its device's row (D2). */
export function standingOf(hash: string, token: TokenRow, row: DeviceRow | undefined): "in_use" | "next" | undefined {
  if (row === undefined || row.generation !== token.generation || (row.state !== "in" && row.state !== "pending")) return undefined;
  if (row.tokenHash === hash) return token.state === "next" ? "next" : "in_use"; // a rotation that was cut is completed as a first use
  return row.state === "in" && row.nextHash === hash ? "next" : undefined;
}

export function deviceRowOf(row: Row): DeviceRow {
  return {
    deviceId: text(row, "device_id"),
    state: oneOf(text(row, "state"), ["pending", "in", "ending", "ended"]),
    generation: integer(row, "generation"),
    deviceGroup: text(row, "device_group"),
    tokenHash: text(row, "token_hash"),
    nextHash: text(row, "next_hash"),
    endedHash: text(row, "ended_hash"),
    enrolmentId: text(row, "enrolment_id"),
    enrolledAt: integer(row, "enrolled_at"),
    rotatedAt: integer(row, "rotated_at"),
    writer: text(row, "writer"),
  };
}
