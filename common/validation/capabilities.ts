import type { Violation } from "../errors/nebula-error.ts";
import { nearestName } from "./nearest-name.ts";
import { quote } from "./quote.ts";

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
    return [{ field: `${field}[${index}]`, description: `${quote(capability)} is no Linux capability; ${meant} would do` }];
  });
}
