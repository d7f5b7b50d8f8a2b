import type { CommandTable } from "./command/command.ts";
import { GLOBAL_FLAGS } from "./command/global-flags.ts";
import { devices } from "./nouns/devices.ts";
import { login } from "./nouns/login.ts";
import { logout } from "./nouns/logout.ts";
import { ping } from "./nouns/ping.ts";
import { profiles } from "./nouns/profiles.ts";
import { prune } from "./nouns/prune.ts";
import { reports } from "./nouns/reports.ts";

/** All that nebulactl does. */
export const commands: CommandTable = {
  program: "nebulactl",
  summary: "Describes what a fleet of devices runs, and shows what it does run.",
  globalFlags: GLOBAL_FLAGS,
  entries: [devices, reports, prune, login, logout, profiles, ping],
};
