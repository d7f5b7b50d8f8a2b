import { assertNever } from "../../../common/errors/assert-never.ts";
import { NebulaError } from "../../../common/errors/nebula-error.ts";
import { shown } from "../../../common/text/wording.ts";
import type { Principal } from "../principal.ts";
import type { Need } from "./method-table.ts";
import { groupKey, mayPrune, mayRead, mayWrite, type Rights } from "./rights.ts";

/**
 * Throws `permission_denied`, saying what was missing, unless the principal has what the call needs.
 * @param partMay whether the part token alone is enough
 */
export function assertPermitted(principal: Principal, need: Need, partMay: boolean): void {
  if (!isPermitted(principal, need, partMay)) throw denied(refusalOf(principal, need));
}

/** Throws `permission_denied`, saying what was missing, unless the principal may read each of these device_groups. */
export function assertMayReadGroups(principal: Principal, deviceGroups: Iterable<string>): void {
  for (const name of deviceGroups) assertPermitted(principal, { kind: "read", entity: groupKey(name) }, false);
}

/** Whether the principal has what the call needs. */
export function isPermitted(principal: Principal, need: Need, partMay: boolean): boolean {
  switch (principal.kind) {
    case "user":
      return userMay(principal.rights, need);
    case "device":
      return deviceMay(principal, need);
    case "enrolment":
      return need.kind === "enroll" || need.kind === "credential";
    case "part":
      return partMay;
    default:
      return assertNever(principal);
  }
}

function refusalOf(principal: Principal, need: Need): string {
  switch (principal.kind) {
    case "user":
      return `${principal.name} may not do this: it needs ${wanted(need)}`;
    case "device":
      return `the token of the device ${principal.deviceId} is for itself, in the device_group ${principal.deviceGroup}: this needs ${wanted(need)}`;
    case "enrolment":
      return `an enrolment token is for EnrollDevice alone: this needs ${wanted(need)}`;
    case "part":
      return "the part token alone does not do for this call: pass the caller's authorization header on";
    default:
      return assertNever(principal);
  }
}

function denied(message: string): NebulaError {
  return new NebulaError("permission_denied", message);
}

function userMay(rights: Rights, need: Need): boolean {
  switch (need.kind) {
    case "credential":
    case "login":
    case "member":
    case "filtered":
      return true;
    case "read":
      return mayRead(rights, need.entity);
    case "write":
      return mayWrite(rights, need.entity);
    case "prune":
      return mayPrune(rights, need.deviceGroup);
    case "prune_all":
      return rights.admin || rights.pruning;
    case "config":
      return mayRead(rights, { kind: "device_group", name: need.deviceGroup });
    case "device":
      return need.devices.every(({ deviceGroup }) => mayRead(rights, { kind: "device_group", name: deviceGroup }));
    case "admin":
      return rights.admin;
    case "enroll":
    case "own_device":
      return false; // not even an admin: it is said of the credential itself
    default:
      return assertNever(need);
  }
}

function deviceMay(self: Readonly<{ deviceId: string; deviceGroup: string }>, need: Need): boolean {
  switch (need.kind) {
    case "credential":
    case "member":
    case "own_device":
      return true;
    case "config":
      return need.deviceGroup === self.deviceGroup;
    case "device":
      return need.devices.every(({ deviceId, deviceGroup }) => deviceId === self.deviceId && deviceGroup === self.deviceGroup);
    case "login":
    case "read":
    case "write":
    case "prune":
    case "prune_all":
    case "filtered":
    case "admin":
    case "enroll":
      return false;
    default:
      return assertNever(need);
  }
}

/** Describes the need of a call in words; its request is not validated yet. */
function wanted(need: Need): string {
  switch (need.kind) {
    case "credential":
      return "a valid credential";
    case "login":
      return "a user";
    case "member":
      return "a user, or a device's own token";
    case "read":
      return `ro on the ${need.entity.kind} ${shown(need.entity.name)}`;
    case "write":
      return `rw on the ${need.entity.kind} ${shown(need.entity.name)}`;
    case "prune":
      return `rw, or ro with pruning_allowed, on the device_group ${shown(need.deviceGroup)}`;
    case "prune_all":
      return "pruning_allowed";
    case "config":
      return `ro on the device_group ${shown(need.deviceGroup)}, or the token of a device of it`;
    case "device":
      return `the device's own token, or ro on the device_group ${shown(need.devices[0]?.deviceGroup ?? "")}`;
    case "filtered":
      return "a user";
    case "admin":
      return "an admin";
    case "enroll":
      return "an enrolment token";
    case "own_device":
      return "the token of a device";
    default:
      return assertNever(need);
  }
}
