import { assertNever } from "../../common/errors/assert-never.ts";
import { NebulaError } from "../../common/errors/nebula-error.ts";
import type { EnrolOutcome } from "../../common/storage/access-store.ts";
import { shown } from "../../common/text/wording.ts";

/** The device_group that a device was taken into; throws what else came of it, with what to do. */
export function enrolledGroup(outcome: EnrolOutcome, deviceId: string): Extract<EnrolOutcome, { kind: "enrolled" }> {
  switch (outcome.kind) {
    case "enrolled":
      return outcome;
    case "other_token":
      throw new NebulaError(
        "already_exists",
        `the device ${shown(deviceId)} has another token: if this is the same device, an operator has to end that first (nebulactl devices revoke ${shown(deviceId)}); if it is another, give it a device id of its own`,
      );
    case "hash_taken":
      throw new NebulaError(
        "already_exists",
        `this token is not new: the device ${shown(deviceId)} has to make one of its own, and the data of one device is for no other`,
      );
    case "not_valid":
      throw notValid(outcome.why);
    case "unknown":
      throw new NebulaError(
        "unavailable",
        `the store did not say whether the device ${shown(deviceId)} is enrolled: call again, which uses nothing up`,
      );
    default:
      return assertNever(outcome);
  }
}

/** The refusal of an enrolment token whose maker has lost `rw` on its device_group since, or was deleted. */
export function makerHasNoRights(deviceGroup: string): NebulaError {
  const why = `its maker has no rw on the device_group ${deviceGroup} any more`;
  return new NebulaError("permission_denied", `the enrolment token admits no device: ${why}; make another one (nebulactl devices enroll)`);
}

function notValid(why: Extract<EnrolOutcome, { kind: "not_valid" }>["why"]): NebulaError {
  const advice = "make another one (nebulactl devices enroll)";
  switch (why) {
    case "unknown":
      return new NebulaError("unauthenticated", `the enrolment token is not known here, or was revoked: ${advice}`);
    case "used_up":
      return new NebulaError("permission_denied", `the enrolment token is used up: ${advice}, with as many uses as there are devices`);
    case "expired":
      return new NebulaError("permission_denied", `the enrolment token has expired: ${advice}`);
    default:
      return assertNever(why);
  }
}
