import type { CommandTable } from "./command/command.ts";
import { GLOBAL_FLAGS } from "./command/global-flags.ts";
import { deferred } from "./command/load-commands.ts";

/** All that nebulactl does. A command's module is loaded when it is named: names and summaries are repeated here, and a test compares them. */
export const commands: CommandTable = {
  program: "nebulactl",
  summary: "Describes what a fleet of devices runs, and shows what it does run.",
  globalFlags: GLOBAL_FLAGS,
  entries: [
    deferred({
      name: "apply",
      summary: "Creates or changes what resource files describe.",
      load: async () => (await import("./nouns/apply.ts")).apply,
    }),
    deferred({
      name: "get",
      summary: "Prints resources as apply -f takes them.",
      load: async () => (await import("./nouns/get.ts")).get,
    }),
    deferred({
      name: "apps",
      aliases: ["app"],
      summary: "Manages apps: what devices run all the time.",
      load: async () => (await import("./nouns/apps.ts")).apps,
    }),
    deferred({
      name: "cron-jobs",
      aliases: ["cron-job"],
      summary: "Manages cron_jobs: what devices run on a schedule.",
      load: async () => (await import("./nouns/cron-jobs.ts")).cronJobs,
    }),
    deferred({
      name: "device-groups",
      aliases: ["device-group"],
      summary: "Manages device_groups: what belongs together on a set of devices.",
      load: async () => (await import("./nouns/device-groups.ts")).deviceGroups,
    }),
    deferred({
      name: "devices",
      aliases: ["device"],
      summary: "Shows devices and the newest status of each; lets devices in, and ends their tokens.",
      load: async () => (await import("./nouns/devices.ts")).devices,
    }),
    deferred({
      name: "users",
      aliases: ["user"],
      summary: "Manages users: who may call the API. What they may do is said by user-groups.",
      load: async () => (await import("./nouns/users.ts")).users,
    }),
    deferred({
      name: "user-groups",
      aliases: ["user-group"],
      summary: "Manages user_groups: what users may do.",
      load: async () => (await import("./nouns/user-groups.ts")).userGroups,
    }),
    deferred({
      name: "reports",
      aliases: ["report"],
      summary: "Lists what devices reported.",
      load: async () => (await import("./nouns/reports.ts")).reports,
    }),
    deferred({
      name: "audit",
      summary: "Shows who changed what, and who was refused.",
      load: async () => (await import("./nouns/audit.ts")).audit,
    }),
    deferred({
      name: "prune",
      summary: "Has devices remove their unused images, once.",
      load: async () => (await import("./nouns/prune.ts")).prune,
    }),
    deferred({
      name: "import",
      summary: "Copies apps, cron_jobs, device_groups, users and user_groups from a running original manager.",
      load: async () => (await import("./nouns/import.ts")).importFromOriginal,
    }),
    deferred({
      name: "login",
      summary: "Stores a server and how to log in there.",
      load: async () => (await import("./nouns/login.ts")).login,
    }),
    deferred({
      name: "logout",
      summary: "Removes a stored login: that of --profile, else the current one.",
      load: async () => (await import("./nouns/logout.ts")).logout,
    }),
    deferred({
      name: "profiles",
      aliases: ["profile"],
      summary: "Shows the stored logins and chooses the current one.",
      load: async () => (await import("./nouns/profiles.ts")).profiles,
    }),
    deferred({
      name: "ping",
      aliases: ["status"],
      summary: "Asks the server whether it is there, and shows which one it is.",
      load: async () => (await import("./nouns/ping.ts")).ping,
    }),
  ],
};
