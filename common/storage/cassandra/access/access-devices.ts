/**
 * Tokens of devices after their enrolment: lookups, rotation, revocation, the list.
 *
 * Every change is a row of `device_token` first, then the rows of `token_owner` that follow from it; a call that was
 * cut is completed by the next one.
 */
import type { ChangeOutcome, DeviceTokens, StoredDeviceToken } from "../../access-store.ts";
import type { Page } from "../../page.ts";
import { decodePosition, encodePosition, refusedPosition } from "../../page.ts";
import { pagesOf } from "../connection/client.ts";
import { text } from "../connection/rows.ts";
import { ACCESS_PART } from "../schema/access-tables.ts";
import { type AccessPartition, tokenTaken } from "./access-partition.ts";
import { type DeviceRow, type DeviceRows, deviceRowOf, deviceTokenOf, SELECT_DEVICE, standingOf } from "./device-rows.ts";

type Signal = AbortSignal | undefined;
const LIST_GROUP = "SELECT device_id FROM device_token_group WHERE device_group = ? AND device_id > ?";
const LIST_GROUPS = "SELECT device_group FROM device_token_groups WHERE part = ? AND device_group >= ?";

/** Times that a change is made again from what another process has just written. */
const TRIES = 8;
/** Rows of the list that are read for one page. */
const MOST_READ = 5000;

export function createAccessDevices(partition: AccessPartition, devices: DeviceRows): DeviceTokens {
  async function announceNext(current: string, next: string, signal: Signal): Promise<ChangeOutcome> {
    const token = await partition.token(current, "read", signal);
    if (token?.kind !== "device") return "absent";
    for (let tries = 0; tries < TRIES; tries++) {
      const row = await devices.read(token.owner, "serial_read", signal);
      if (row === undefined || row.state !== "in" || row.tokenHash !== current) return "absent";
      if (row.nextHash === next) return "done";
      const wanted = { kind: "device", owner: row.deviceId, deviceGroup: row.deviceGroup, state: "next", generation: row.generation } as const;
      const claimed = await partition.claim(next, wanted, signal); // A3
      if (claimed.kind === "unknown") return "unknown";
      if (claimed.kind === "taken") throw tokenTaken();
      const change = await devices.put({ ...row, nextHash: next }, row, signal);
      if (change === "unknown") return "unknown";
      if (change === "applied") return row.nextHash === "" ? "done" : partition.releaseOwn(row.nextHash, "device", row.deviceId, signal);
      const now = await devices.read(token.owner, "serial_read", signal);
      if (now?.nextHash !== next && now?.tokenHash !== next) await partition.release(next, claimed.claim, signal);
    }
    return "unknown";
  }

  async function promoteNext(next: string, nowMs: number, signal: Signal): Promise<ChangeOutcome> {
    const token = await partition.token(next, "serial_read", signal);
    if (token?.kind !== "device" || token.state !== "next") return "absent";
    for (let tries = 0; tries < TRIES; tries++) {
      const row = await devices.read(token.owner, "serial_read", signal);
      if (row === undefined || standingOf(next, token, row) !== "next") return "absent";
      if (row.tokenHash !== next) {
        const promoted = { ...row, tokenHash: next, nextHash: "", endedHash: row.tokenHash, rotatedAt: nowMs };
        const change = await devices.put(promoted, row, signal);
        if (change === "unknown") return "unknown";
        if (change === "refused") continue;
      }
      const endedHash = row.tokenHash === next ? row.endedHash : row.tokenHash;
      if ((await partition.releaseOwn(endedHash, "device", row.deviceId, signal)) === "unknown") return "unknown";
      return (await partition.useToken(next, token, signal)) === "unknown" ? "unknown" : "done"; // last: until then a use of it completes this
    }
    return "unknown";
  }

  async function revokeDeviceToken(deviceId: string, signal: Signal): Promise<ChangeOutcome> {
    for (let tries = 0; tries < TRIES; tries++) {
      const row = await devices.read(deviceId, "serial_read", signal);
      if (row === undefined || row.state === "ended") return (await partition.renewStamp()) === "unknown" ? "unknown" : "absent"; // A1
      if (row.state !== "ending") {
        const change = await devices.put({ ...row, state: "ending" }, row, signal); // no token of it can be announced or used first from now on
        if (change === "unknown") return "unknown";
        continue;
      }
      for (const hash of [row.tokenHash, row.nextHash, row.endedHash]) {
        if ((await partition.releaseOwn(hash, "device", deviceId, signal)) === "unknown") return "unknown";
      }
      if ((await partition.renewStamp()) === "unknown") return "unknown"; // A1: after the tokens ended, before the row says that it is done
      const ended: DeviceRow = { ...row, state: "ended", tokenHash: "", nextHash: "", endedHash: "" };
      const change = await devices.put(ended, row, signal);
      if (change === "unknown") return "unknown";
      await devices.unlist([row], signal);
      return "done";
    }
    return "unknown";
  }

  /**
   * The devices of a group from the list, as their rows are, and the last one that was looked at; undefined: the list
   * is at its end.
   */
  async function readGroup(
    deviceGroup: string,
    after: string,
    limit: number,
    signal: Signal,
  ): Promise<{ found: readonly StoredDeviceToken[]; last: string | undefined }> {
    const query = { cql: LIST_GROUP, params: [deviceGroup, after] };
    const { rows, next } = await partition.client.execute(query, { table: "device_token_group", kind: "read", fetchSize: limit, signal });
    const ids = rows.map((row) => text(row, "device_id"));
    const answers = await partition.client.executeMany(
      SELECT_DEVICE,
      ids.map((id) => [id]),
      { table: "device_token", kind: "read", signal },
    );
    const found: StoredDeviceToken[] = [];
    const stale: { deviceGroup: string; deviceId: string; generation: number }[] = [];
    for (const [row] of answers) {
      if (row === undefined) continue;
      const device = deviceRowOf(row);
      const { deviceId, generation } = device;
      const isHere = device.deviceGroup === deviceGroup;
      const token = isHere ? deviceTokenOf(device) : undefined;
      if (token !== undefined) found.push(token);
      else if (!isHere) stale.push({ deviceGroup, deviceId, generation: generation - 1 });
      else if (device.state === "ended") stale.push({ deviceGroup, deviceId, generation });
    }
    await devices.unlist(stale, signal);
    return { found, last: next === undefined ? undefined : ids.at(-1) };
  }

  async function* groupsFrom(deviceGroup: string | undefined, from: string, signal: Signal): AsyncGenerator<string> {
    if (deviceGroup !== undefined) return yield deviceGroup;
    const query = { cql: LIST_GROUPS, params: [ACCESS_PART, from] };
    for await (const rows of pagesOf(partition.client, query, { table: "device_token_groups", kind: "read", signal })) {
      for (const row of rows) yield text(row, "device_group");
    }
  }

  return {
    async deviceByTokenHash(tokenHash, signal) {
      const token = await partition.token(tokenHash, "read", signal);
      if (token?.kind !== "device") return undefined;
      const row = await devices.read(token.owner, "read", signal);
      return standingOf(tokenHash, token, row) === undefined ? undefined : deviceTokenOf(row);
    },

    async deviceToken(deviceId, signal) {
      return deviceTokenOf(await devices.read(deviceId, "read", signal));
    },

    async listDeviceTokens({ deviceGroup }, { after, limit }, signal): Promise<Page<StoredDeviceToken>> {
      const [group, from] = after === undefined ? [deviceGroup ?? "", ""] : positionOf(after);
      const items: StoredDeviceToken[] = [];
      let read = 0;
      for await (const each of groupsFrom(deviceGroup, group, signal)) {
        for (let position: string | undefined = each === group ? from : ""; position !== undefined; ) {
          const { found, last } = await readGroup(each, position, Math.min(limit + 1, MOST_READ), signal);
          items.push(...found);
          read += limit + 1;
          const end = items[limit - 1];
          if (items.length > limit && end !== undefined) return { items: items.slice(0, limit), next: pageAfter(end.deviceGroup, end.deviceId) };
          if (last !== undefined && read >= MOST_READ) return { items, next: pageAfter(each, last) };
          position = last;
        }
      }
      return { items, next: undefined };
    },

    announceNext,
    promoteNext,
    revokeDeviceToken,
  };
}

function pageAfter(deviceGroup: string, deviceId: string): string {
  return encodePosition("device_tokens", [deviceGroup, deviceId]);
}

function positionOf(token: string): readonly [deviceGroup: string, deviceId: string] {
  const [deviceGroup, deviceId, ...more] = decodePosition("device_tokens", token);
  if (typeof deviceGroup !== "string" || typeof deviceId !== "string" || more.length > 0) throw refusedPosition(token);
  return [deviceGroup, deviceId];
}
