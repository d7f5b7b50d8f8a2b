import { assertNever } from "../../common/errors/assert-never.ts";
import { NebulaError } from "../../common/errors/nebula-error.ts";
import type { Principal } from "../rpc/call-context.ts";
import type { Need } from "./method-table.ts";

/** Throws `permission_denied`, saying what was missing, unless the principal has what the call needs. */
export function permit(principal: Principal, need: Need, partMay: boolean): void {
  switch (principal.kind) {
    case "user":
      if (principal.admin || need.kind === "login") return;
      throw new NebulaError("permission_denied", `${principal.name} may not do this: it needs ${wanted(need)}`);
    case "part":
      if (partMay) return;
      throw new NebulaError("permission_denied", "the part token alone does not do for this call: pass the caller's authorization header on");
    default:
      assertNever(principal);
  }
}

function wanted(need: Need): string {
  switch (need.kind) {
    case "login":
      return "a valid credential";
    case "read":
      return `ro on the ${need.entity.kind} ${need.entity.name}`;
    case "write":
      return `rw on the ${need.entity.kind} ${need.entity.name}`;
    case "prune":
      return `pruning_allowed on the device_group ${need.deviceGroup}`;
    case "device":
      return `the device's own token, or ro on the device_group ${need.devices[0]?.deviceGroup ?? ""}`;
    case "filtered":
      return "permissions of some user_group";
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
