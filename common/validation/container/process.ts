import { isIP } from "node:net";
import type { Violation } from "../../errors/nebula-error.ts";
import { entryPath, nearestName, quote } from "../../text/wording.ts";

const USER = /^[^\s:]+(?::[^\s:]+)?$/;
const NUMBER = /^-?[0-9]+$/;
const LARGEST_ID = 2 ** 31 - 1;
/** Wider than RFC 1123 by '_', which Docker and the kernel take; the kernel's limit is 64. */
const HOST_NAME = /^[a-zA-Z0-9](?:[a-zA-Z0-9_.-]{0,61}[a-zA-Z0-9])?$/;

export type ProcessFields = Readonly<{ user: string; workingDir: string; hostname: string; extraHosts: readonly string[] }>;

/** Checks the user, working directory and host names of the process of a container. */
export function validateProcessFields({ user, workingDir, hostname, extraHosts }: ProcessFields): Violation[] {
  const violations: Violation[] = [];
  if (user !== "" && !isUser(user)) {
    violations.push({ field: "user", description: `invalid user ${quote(user)}; use name, uid, name:group or uid:gid (0 to ${LARGEST_ID})` });
  }
  if (workingDir !== "" && !workingDir.startsWith("/")) {
    violations.push({ field: "working_dir", description: `${quote(workingDir)} is not an absolute path; use ${quote(`/${workingDir}`)}` });
  }
  if (hostname !== "" && !HOST_NAME.test(hostname)) {
    violations.push({
      field: "hostname",
      description: `invalid host name ${quote(hostname)}; use 1 to 63 letters, digits, '-', '.', '_', with a letter or digit first and last`,
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
  return [{ field, description: `invalid extra host ${quote(line)}; use name:address, such as db:10.0.0.5, db:fd00::5 or gateway:host-gateway` }];
}

type EnvFields = Readonly<{ envVars: Readonly<Record<string, string>>; secretEnvVars: Readonly<Record<string, string>> }>;

/** The names of environment variables. Values may be anything (that they hold no NUL is the message's shape), and are never shown. */
export function validateEnvVars({ envVars, secretEnvVars }: EnvFields): Violation[] {
  return [...nameViolations("env_vars", envVars), ...nameViolations("secret_env_vars", secretEnvVars), ...inBoth(envVars, secretEnvVars)];
}

function nameViolations(field: string, variables: Readonly<Record<string, string>>): Violation[] {
  return Object.keys(variables).flatMap((name) => {
    if (name === "") return [{ field, description: "has a variable without a name; a name is at least one character" }];
    if (name.includes("="))
      return [{ field: entryPath(field, name), description: "has '=' in its name, where no variable can have one; leave it out" }];
    return [];
  });
}

function inBoth(envVars: EnvFields["envVars"], secretEnvVars: EnvFields["secretEnvVars"]): Violation[] {
  return Object.keys(secretEnvVars).flatMap((name) => {
    if (!Object.hasOwn(envVars, name)) return [];
    return [{ field: entryPath("secret_env_vars", name), description: "is in env_vars, too; a name is in one of them: remove it from the other" }];
  });
}

/** capabilities(7), without CAP_. An engine may be too old for the newest three. */
const CAPABILITIES = new Set(
  [
    "AUDIT_CONTROL AUDIT_READ AUDIT_WRITE BLOCK_SUSPEND BPF CHECKPOINT_RESTORE CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID IPC_LOCK IPC_OWNER KILL",
    "LEASE LINUX_IMMUTABLE MAC_ADMIN MAC_OVERRIDE MKNOD NET_ADMIN NET_BIND_SERVICE NET_BROADCAST NET_RAW PERFMON SETFCAP SETGID SETPCAP SETUID SYSLOG",
    "SYS_ADMIN SYS_BOOT SYS_CHROOT SYS_MODULE SYS_NICE SYS_PACCT SYS_PTRACE SYS_RAWIO SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG WAKE_ALARM ALL",
  ].flatMap((words) => words.split(" ")),
);

/** Names of Linux capabilities, with or without CAP_, in any case; ALL is all of them. */
export function validateCapabilities(field: "cap_add" | "cap_drop", capabilities: readonly string[]): Violation[] {
  return capabilities.flatMap((capability, index) => {
    const name = capability.toUpperCase().replace(/^CAP_/, "");
    if (CAPABILITIES.has(name)) return [];
    const meant = nearestName(name, CAPABILITIES) ?? "NET_ADMIN, SYS_TIME or ALL";
    return [{ field: `${field}[${index}]`, description: `invalid capability ${quote(capability)}; use ${meant}` }];
  });
}
