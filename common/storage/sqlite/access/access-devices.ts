import { NebulaError } from "../../../errors/nebula-error.ts";
import type { ChangeOutcome, DeviceTokens, EnrolmentTokens, EnrolOutcome, StoredDeviceToken, StoredEnrolment } from "../../access-store.ts";
import { decodePosition, decodeTimePosition, encodePosition, refusedPosition } from "../../page.ts";
import { integer, optional, pageOfRows, type Row, text } from "../statements.ts";
import type { AccessDatabase } from "./access-database.ts";

const ENROLMENT = "e.id, e.token_hash, e.device_group, e.uses_left, e.expires_at, e.created_at, e.created_by";
const DEVICE = "d.device_id, d.device_group, d.token_hash, d.next_hash, d.enrolment_id, d.enrolled_at, d.rotated_at";

/** Enrolment tokens, and the tokens of devices. */
export function createAccessDevices(database: AccessDatabase): EnrolmentTokens & DeviceTokens {
  const { prepare, attempt, change, renewStamp, claim, ownerOf, release } = database;
  const insertEnrolment = prepare(
    "INSERT INTO enrolment (id, token_hash, device_group, uses_left, expires_at, created_at, created_by) VALUES (?, ?, ?, ?, ?, ?, ?)",
  );
  const selectEnrolment = prepare(`SELECT ${ENROLMENT} FROM enrolment e WHERE e.id = ?`);
  const selectEnrolmentByToken = prepare(
    `SELECT ${ENROLMENT} FROM token t JOIN enrolment e ON e.id = t.owner WHERE t.hash = ? AND t.kind = 'enrolment'`,
  );
  const enrolmentsWhere = (condition: string) =>
    prepare(
      `SELECT ${ENROLMENT} FROM enrolment e WHERE ${condition} (e.created_at, e.id) < (?, ?) AND e.expires_at > ? AND e.uses_left > 0
       ORDER BY e.created_at DESC, e.id DESC LIMIT ?`,
    );
  const selectEnrolments = enrolmentsWhere("");
  const selectEnrolmentsOfGroup = enrolmentsWhere("e.device_group = ? AND");
  const takeUse = prepare("UPDATE enrolment SET uses_left = uses_left - 1 WHERE id = ?");
  const dropEnrolment = prepare("DELETE FROM enrolment WHERE id = ?");
  const selectDevice = prepare(`SELECT ${DEVICE} FROM device d WHERE d.device_id = ?`);
  const selectDeviceByToken = prepare(`SELECT ${DEVICE} FROM token t JOIN device d ON d.device_id = t.owner WHERE t.hash = ? AND t.kind = 'device'`);
  const selectDevices = prepare(
    `SELECT ${DEVICE} FROM device d WHERE (d.device_group, d.device_id) > (?, ?) ORDER BY d.device_group, d.device_id LIMIT ?`,
  );
  const selectDevicesOfGroup = prepare(`SELECT ${DEVICE} FROM device d WHERE d.device_group = ? AND d.device_id > ? ORDER BY d.device_id LIMIT ?`);
  const insertDevice = prepare(
    "INSERT INTO device (device_id, device_group, token_hash, next_hash, enrolment_id, enrolled_at, rotated_at) VALUES (?, ?, ?, '', ?, ?, 0)",
  );
  const putNext = prepare("UPDATE device SET next_hash = ? WHERE device_id = ?");
  const promote = prepare("UPDATE device SET token_hash = next_hash, next_hash = '', rotated_at = ? WHERE device_id = ?");
  const dropDevice = prepare("DELETE FROM device WHERE device_id = ?");

  const readDevice = (deviceId: string) => optional(selectDevice.get(deviceId), deviceOf);
  const readDeviceByToken = (hash: string) => optional(selectDeviceByToken.get(hash), deviceOf);
  const readEnrolmentByToken = (hash: string) => optional(selectEnrolmentByToken.get(hash), enrolmentOf);

  return {
    async createEnrolment({ id, tokenHash, deviceGroup, usesLeft, expiresAt, createdAt, createdBy }) {
      return change("write an enrolment token", () => {
        if (ownerOf(tokenHash) !== undefined || selectEnrolment.get(id) !== undefined)
          throw new NebulaError("already_exists", "this enrolment token is there already");
        claim(tokenHash, { kind: "enrolment", owner: id }); // A3
        insertEnrolment.run(id, tokenHash, deviceGroup, usesLeft, Math.trunc(expiresAt), Math.trunc(createdAt), createdBy);
        return "done" as const;
      });
    },

    async enrolmentByTokenHash(tokenHash) {
      return attempt("read an enrolment token", () => readEnrolmentByToken(tokenHash));
    },

    async enrolment(id) {
      return attempt("read an enrolment token", () => optional(selectEnrolment.get(id), enrolmentOf));
    },

    async listEnrolments({ deviceGroup, nowMs }, { after, limit }) {
      const [createdAt, id] = after === undefined ? [Number.MAX_SAFE_INTEGER, ""] : decodeTimePosition("enrolments", after);
      const rest = [createdAt, id, Math.trunc(nowMs), limit + 1];
      return attempt("list enrolment tokens", () =>
        pageOfRows(
          deviceGroup === undefined ? selectEnrolments.iterate(...rest) : selectEnrolmentsOfGroup.iterate(deviceGroup, ...rest),
          limit,
          enrolmentOf,
          (enrolment) => encodePosition("enrolments", [enrolment.createdAt, enrolment.id]),
        ),
      );
    },

    async revokeEnrolment(id) {
      return change("revoke an enrolment token", (): ChangeOutcome => {
        renewStamp(); // A1
        const enrolment = optional(selectEnrolment.get(id), enrolmentOf);
        if (enrolment === undefined) return "absent";
        dropEnrolment.run(id);
        release(enrolment.tokenHash);
        return "done";
      });
    },

    async enrol({ deviceId, tokenHash, enrolmentHash, nowMs }) {
      return change("take a device in", (): EnrolOutcome => {
        const device = readDevice(deviceId);
        if (device !== undefined && (device.tokenHash === tokenHash || device.nextHash === tokenHash)) {
          return { kind: "enrolled", deviceGroup: device.deviceGroup, again: true }; // A4: uses nothing up
        }
        // Looked at before the device is: who has no valid enrolment token does not learn which devices there are.
        const enrolment = readEnrolmentByToken(enrolmentHash);
        if (enrolment === undefined) return { kind: "not_valid", why: "unknown" };
        if (enrolment.expiresAt <= nowMs) return { kind: "not_valid", why: "expired" };
        if (enrolment.usesLeft === 0) return { kind: "not_valid", why: "used_up" };
        if (device !== undefined) return { kind: "other_token" };
        if (ownerOf(tokenHash) !== undefined) return { kind: "hash_taken" };
        claim(tokenHash, { kind: "device", owner: deviceId }); // A3
        insertDevice.run(deviceId, enrolment.deviceGroup, tokenHash, enrolment.id, Math.trunc(nowMs));
        takeUse.run(enrolment.id); // A4: in one transaction with the device
        return { kind: "enrolled", deviceGroup: enrolment.deviceGroup, again: false };
      });
    },

    async deviceByTokenHash(tokenHash) {
      return attempt("read a device's token", () => readDeviceByToken(tokenHash));
    },

    async deviceToken(deviceId) {
      return attempt("read a device's token", () => readDevice(deviceId));
    },

    async listDeviceTokens({ deviceGroup }, { after, limit }) {
      const [group, deviceId] = after === undefined ? [deviceGroup ?? "", ""] : devicePosition(after);
      return attempt("list devices' tokens", () =>
        pageOfRows(
          deviceGroup === undefined
            ? selectDevices.iterate(group, deviceId, limit + 1)
            : selectDevicesOfGroup.iterate(deviceGroup, deviceId, limit + 1),
          limit,
          deviceOf,
          (device) => encodePosition("device_tokens", [device.deviceGroup, device.deviceId]),
        ),
      );
    },

    async announceNext(current, next) {
      return change("announce a device's next token", (): ChangeOutcome => {
        const device = readDeviceByToken(current);
        if (device === undefined || device.tokenHash !== current) return "absent";
        if (device.nextHash === next) return "done";
        if (ownerOf(next) !== undefined) throw new NebulaError("already_exists", "this token is in use already: make another one"); // A3
        release(device.nextHash);
        claim(next, { kind: "device", owner: device.deviceId });
        putNext.run(next, device.deviceId);
        return "done";
      });
    },

    async promoteNext(next, nowMs) {
      return change("exchange a device's token", (): ChangeOutcome => {
        const device = readDeviceByToken(next);
        if (device === undefined || device.nextHash !== next) return "absent";
        promote.run(Math.trunc(nowMs), device.deviceId);
        release(device.tokenHash);
        return "done";
      });
    },

    async revokeDeviceToken(deviceId) {
      return change("revoke a device's token", (): ChangeOutcome => {
        renewStamp(); // A1
        const device = readDevice(deviceId);
        if (device === undefined) return "absent";
        dropDevice.run(deviceId);
        release(device.tokenHash);
        release(device.nextHash);
        return "done";
      });
    },
  };
}

function devicePosition(token: string): readonly [deviceGroup: string, deviceId: string] {
  const [deviceGroup, deviceId, ...more] = decodePosition("device_tokens", token);
  if (typeof deviceGroup !== "string" || typeof deviceId !== "string" || more.length > 0) throw refusedPosition(token);
  return [deviceGroup, deviceId];
}

function enrolmentOf(row: Row): StoredEnrolment {
  return {
    id: text(row, "id"),
    tokenHash: text(row, "token_hash"),
    deviceGroup: text(row, "device_group"),
    usesLeft: integer(row, "uses_left"),
    expiresAt: integer(row, "expires_at"),
    createdAt: integer(row, "created_at"),
    createdBy: text(row, "created_by"),
  };
}

function deviceOf(row: Row): StoredDeviceToken {
  return {
    deviceId: text(row, "device_id"),
    deviceGroup: text(row, "device_group"),
    tokenHash: text(row, "token_hash"),
    nextHash: text(row, "next_hash"),
    enrolmentId: text(row, "enrolment_id"),
    enrolledAt: integer(row, "enrolled_at"),
    rotatedAt: integer(row, "rotated_at"),
  };
}
