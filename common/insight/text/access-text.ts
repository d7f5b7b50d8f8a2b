/** Users, user_groups and the audit log in words. */
import type { AuditEntry } from "../../../gen/nebula/v1/audit_pb.ts";
import type { User, UserMemberships } from "../../../gen/nebula/v1/user_pb.ts";

/** The hash algorithm of the password: a bcrypt hash was imported, and the password was not used since. */
export function passwordText({ passwordHash }: Pick<User, "passwordHash">): string {
  if (passwordHash === "") return "none";
  return passwordHash.startsWith("$argon2id$") ? "argon2id" : "bcrypt";
}

export function tokenText({ tokenHash }: Pick<User, "tokenHash">): string {
  return tokenHash === "" ? "none" : "yes";
}

/** `ops,pos`; of more than a list names the first ones, and how many more there are: `a,b,+12`. */
export function membershipsText({ userGroups, count }: Pick<UserMemberships, "userGroups" | "count">): string {
  if (count === 0) return "none";
  return [...userGroups, ...(count > userGroups.length ? [`+${count - userGroups.length}`] : [])].join(",");
}

/** `db:ro,shop-*:rw`, the form of --apps. */
export function permissionsText(permissions: Readonly<Record<string, string>>): string {
  return Object.entries(permissions)
    .map(([name, level]) => `${name}:${level}`)
    .sort()
    .join(",");
}

/** The kinds that calls of the audit log are about. */
export const AUDIT_KINDS: readonly string[] = ["app", "cron_job", "device_group", "user", "user_group", "device", "enrolment_token", "session"];

/** The method of a call: `AppService/UpdateApp`. */
export function callText({ method }: Pick<AuditEntry, "method">): string {
  return method.replace(/^\/nebula\.v1\./, "");
}

/** `41->42`, `42` if it stayed, `->1` if there was none before; empty if the call concerned no revision. */
export function auditedRevisionText({ revisionBefore: before, revisionAfter: after }: Pick<AuditEntry, "revisionBefore" | "revisionAfter">): string {
  if (before === after) return before === 0n ? "" : String(before);
  return `${before === 0n ? "" : before}->${after === 0n ? "" : after}`;
}

/** `OK`; of refusals that are counted together how many they were: `UNAUTHENTICATED x12`. */
export function outcomeText({ outcome, repeats }: Pick<AuditEntry, "outcome" | "repeats">): string {
  return repeats > 1 ? `${outcome} x${repeats}` : outcome;
}
