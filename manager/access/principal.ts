import { assertNever } from "../../common/errors/assert-never.ts";
import type { Rights } from "./rights/rights.ts";

/** The caller of a method. */
export type Principal = Readonly<
  /** A user; the local admin is one. */
  | { kind: "user"; name: string; rights: Rights }
  /** A device with a token of its own. `tokenHash`: SHA-256 of the token, 64 hexadecimal digits. */
  | { kind: "device"; deviceId: string; deviceGroup: string; tokenHash: string }
  /** The holder of an enrolment token, which may be used up or expired: the store decides when the device enrols. */
  | { kind: "enrolment"; tokenHash: string; deviceGroup: string }
  /** Another component of this cluster, which knows the cluster key; no user is behind it. */
  | { kind: "part" }
>;

/** Returns the name of a caller for the history, the audit log and the log. */
export function nameOf(principal: Principal): string {
  switch (principal.kind) {
    case "user":
      return principal.name;
    case "device":
      return `device/${principal.deviceId}`;
    case "enrolment":
      return `enrolment/${principal.deviceGroup}`;
    case "part":
      return "nebula";
    default:
      return assertNever(principal);
  }
}
