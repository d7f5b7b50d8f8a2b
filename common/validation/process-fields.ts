import { isIP } from "node:net";
import type { Violation } from "../errors/nebula-error.ts";
import { quote } from "./quote.ts";

const USER = /^[^\s:]+(?::[^\s:]+)?$/;
const NUMBER = /^-?[0-9]+$/;
const LARGEST_ID = 2 ** 31 - 1;
/** Wider than RFC 1123 by '_', which Docker and the kernel take; the kernel's limit is 64. */
const HOST_NAME = /^[a-zA-Z0-9](?:[a-zA-Z0-9_.-]{0,61}[a-zA-Z0-9])?$/;

export type ProcessFields = Readonly<{ user: string; workingDir: string; hostname: string; extraHosts: readonly string[] }>;

/** Who a container's process is, and where it believes to be. */
export function validateProcessFields({ user, workingDir, hostname, extraHosts }: ProcessFields): Violation[] {
  const violations: Violation[] = [];
  if (user !== "" && !isUser(user)) {
    violations.push({ field: "user", description: `${quote(user)} is no user; name, uid, name:group or uid:gid (0 to ${LARGEST_ID}) would do` });
  }
  if (workingDir !== "" && !workingDir.startsWith("/")) {
    violations.push({ field: "working_dir", description: `${quote(workingDir)} is not absolute; ${quote(`/${workingDir}`)} would do` });
  }
  if (hostname !== "" && !HOST_NAME.test(hostname)) {
    violations.push({
      field: "hostname",
      description: `${quote(hostname)} is no host name; 1 to 63 letters, digits, '-', '.', '_', a letter or digit first and last, would do`,
    });
  }
  return [...violations, ...extraHosts.flatMap((line, index) => extraHostViolations(line, `extra_hosts[${index}]`))];
}

function isUser(user: string): boolean {
  return USER.test(user) && user.split(":").every((part) => !NUMBER.test(part) || (Number(part) >= 0 && Number(part) <= LARGEST_ID));
}

function extraHostViolations(line: string, field: string): Violation[] {
  const colon = line.indexOf(":");
  const name = line.slice(0, Math.max(0, colon));
  const address = line.slice(colon + 1);
  const isAddress = address === "host-gateway" || (isIP(address) !== 0 && !address.includes("%"));
  if (/^[a-zA-Z0-9_.-]+$/.test(name) && isAddress) return [];
  return [{ field, description: `${quote(line)} is no name:address; db:10.0.0.5, db:fd00::5 or gateway:host-gateway would do` }];
}
