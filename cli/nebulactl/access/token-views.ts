import type { JsonValue } from "@bufbuild/protobuf";
import { type Timestamp, timestampMs } from "@bufbuild/protobuf/wkt";
import { type DeviceToken, DeviceTokenSchema, type EnrolmentToken, EnrolmentTokenSchema } from "../../../gen/nebula/v1/access_pb.ts";
import { ageOf, formatAge } from "../output/age.ts";
import type { ListView } from "../output/print-list.ts";
import { protoJson } from "../output/proto-json.ts";

/** Enrolment tokens, a line each. @param now wall clock, milliseconds since 1970 */
export function enrolmentList(now: number): ListView<EnrolmentToken> {
  return {
    plural: "enrolment tokens",
    header: ["ID", "GROUP", "USES LEFT", "EXPIRES IN", "MADE", "BY"],
    row({ id, deviceGroup, usesLeft, expiresAt, createdAt, createdBy }) {
      const left = expiresAt === undefined ? "" : formatAge(timestampMs(expiresAt) - now);
      return [id, deviceGroup, String(usesLeft), left, `${ageOf(createdAt, now)} ago`, createdBy];
    },
    json: enrolmentJson,
  };
}

export function enrolmentJson(token: EnrolmentToken): JsonValue {
  return protoJson(EnrolmentTokenSchema, token);
}

/** Devices that have a token of their own, a line each. @param now wall clock, milliseconds since 1970 */
export function deviceTokenList(now: number): ListView<DeviceToken> {
  const ago = (time: Timestamp | undefined) => (time === undefined ? "never" : `${ageOf(time, now)} ago`);
  return {
    plural: "devices with a token",
    header: ["DEVICE", "GROUP", "ENROLLED", "ENROLMENT", "ROTATED"],
    row({ deviceId, deviceGroup, enrolledAt, enrolmentId, rotatedAt, rotating }) {
      return [deviceId, deviceGroup, ago(enrolledAt), enrolmentId, rotating ? `${ago(rotatedAt)}, next announced` : ago(rotatedAt)];
    },
    json: (token) => protoJson(DeviceTokenSchema, token),
  };
}
