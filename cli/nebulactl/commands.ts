import type { CommandTable } from "./command/command.ts";
import { GLOBAL_FLAGS } from "./command/global-flags.ts";
import { apply } from "./nouns/apply.ts";
import { apps } from "./nouns/apps.ts";
import { audit } from "./nouns/audit.ts";
import { cronJobs } from "./nouns/cron-jobs.ts";
import { deviceGroups } from "./nouns/device-groups.ts";
import { devices } from "./nouns/devices.ts";
import { get } from "./nouns/get.ts";
import { importFromOriginal } from "./nouns/import.ts";
import { login } from "./nouns/login.ts";
import { logout } from "./nouns/logout.ts";
import { ping } from "./nouns/ping.ts";
import { profiles } from "./nouns/profiles.ts";
import { prune } from "./nouns/prune.ts";
import { reports } from "./nouns/reports.ts";
import { userGroups } from "./nouns/user-groups.ts";
import { users } from "./nouns/users.ts";

/** All that nebulactl does. */
export const commands: CommandTable = {
  program: "nebulactl",
  summary: "Describes what a fleet of devices runs, and shows what it does run.",
  globalFlags: GLOBAL_FLAGS,
  entries: [
    apply,
    get,
    apps,
    cronJobs,
    deviceGroups,
    devices,
    users,
    userGroups,
    reports,
    audit,
    prune,
    importFromOriginal,
    login,
    logout,
    profiles,
    ping,
  ],
};
