import type { CommandTable } from "./command/command.ts";
import { GLOBAL_FLAGS } from "./command/global-flags.ts";
import { deferred } from "./command/load-commands.ts";

/** Every command of nebulactl. The module of a command is loaded when it is named, so names and summaries are repeated here; a test
 * compares them. */
export const commands: CommandTable = {
  program: "nebulactl",
  summary: "Describes what a fleet of devices should run, and shows what it runs.",
  globalFlags: GLOBAL_FLAGS,
  entries: [
    deferred({
      name: "apply",
      summary: "Creates or updates what resource files describe.",
      load: async () => (await import("./commands/apply/apply.ts")).apply,
    }),
    deferred({
      name: "plan",
      summary: "Shows what an apply of resource files changes, and on which devices.",
      load: async () => (await import("./commands/plan/plan.ts")).plan,
    }),
    deferred({
      name: "get",
      summary: "Prints resources as apply -f takes them.",
      load: async () => (await import("./commands/get/get.ts")).get,
    }),
    deferred({
      name: "history",
      summary: "Shows who changed what, when, and from which value to which.",
      load: async () => (await import("./commands/history/history.ts")).history,
    }),
    deferred({
      name: "rollback",
      summary: "Brings the fields of an older revision back, as a new revision.",
      load: async () => (await import("./commands/history/rollback.ts")).rollback,
    }),
    deferred({
      name: "drift",
      summary: "Shows devices that run something else than their newest config.",
      load: async () => (await import("./commands/drift/drift.ts")).drift,
    }),
    deferred({
      name: "status",
      summary: "Shows whether the newest revision of an app, cron_job or device_group reached the devices.",
      load: async () => (await import("./commands/status/status.ts")).status,
    }),
    deferred({
      name: "overview",
      summary: "Shows a whole fleet in numbers: devices by where they stand with their newest config.",
      load: async () => (await import("./commands/overview/overview.ts")).overview,
    }),
    deferred({
      name: "changes",
      summary: "Shows what was changed in the last hour, and how many devices each change has reached.",
      load: async () => (await import("./commands/overview/overview.ts")).changes,
    }),
    deferred({
      name: "apps",
      aliases: ["app"],
      summary: "Manages apps: what devices run all the time.",
      load: async () => (await import("./commands/apps/apps.ts")).apps,
    }),
    deferred({
      name: "cron-jobs",
      aliases: ["cron-job"],
      summary: "Manages cron_jobs: what devices run on a schedule.",
      load: async () => (await import("./commands/cron-jobs/cron-jobs.ts")).cronJobs,
    }),
    deferred({
      name: "device-groups",
      aliases: ["device-group"],
      summary: "Manages device_groups: the apps and cron_jobs of a set of devices.",
      load: async () => (await import("./commands/device-groups/device-groups.ts")).deviceGroups,
    }),
    deferred({
      name: "devices",
      aliases: ["device"],
      summary: "Shows devices and their newest status; enrols devices; revokes device tokens.",
      load: async () => (await import("./commands/devices/devices.ts")).devices,
    }),
    deferred({
      name: "why",
      summary: "Explains where a change is stuck on its way to a device, and what to do about it.",
      load: async () => (await import("./commands/why/why.ts")).why,
    }),
    deferred({
      name: "users",
      aliases: ["user"],
      summary: "Manages users: who may call the API. Their rights come from user-groups.",
      load: async () => (await import("./commands/users/users.ts")).users,
    }),
    deferred({
      name: "user-groups",
      aliases: ["user-group"],
      summary: "Manages user_groups: what users may do.",
      load: async () => (await import("./commands/user-groups/user-groups.ts")).userGroups,
    }),
    deferred({
      name: "sessions",
      aliases: ["session"],
      summary: "Shows and ends sessions: logins of browsers.",
      load: async () => (await import("./commands/sessions/sessions.ts")).sessions,
    }),
    deferred({
      name: "reports",
      aliases: ["report"],
      summary: "Lists what devices reported.",
      load: async () => (await import("./commands/reports/reports.ts")).reports,
    }),
    deferred({
      name: "audit",
      summary: "Shows who changed what, and who was refused.",
      load: async () => (await import("./commands/audit/audit.ts")).audit,
    }),
    deferred({
      name: "prune",
      summary: "Makes devices remove their unused images, once.",
      load: async () => (await import("./commands/prune/prune.ts")).prune,
    }),
    deferred({
      name: "import",
      summary: "Copies apps, cron_jobs, device_groups, users and user_groups from a running original manager.",
      load: async () => (await import("./commands/import/import.ts")).importFromOriginal,
    }),
    deferred({
      name: "login",
      summary: "Stores a server and how to log in there.",
      load: async () => (await import("./commands/login/login.ts")).login,
    }),
    deferred({
      name: "logout",
      summary: "Removes a stored login: the one of --profile, else the current one.",
      load: async () => (await import("./commands/logout/logout.ts")).logout,
    }),
    deferred({
      name: "profiles",
      aliases: ["profile"],
      summary: "Shows the stored logins and chooses the current one.",
      load: async () => (await import("./commands/profiles/profiles.ts")).profiles,
    }),
    deferred({
      name: "ping",
      summary: "Checks that the server answers, and shows its version and cluster.",
      load: async () => (await import("./commands/ping/ping.ts")).ping,
    }),
    deferred({
      name: "completion",
      summary: "Prints a script with which a shell completes nebulactl's commands, flags and names.",
      load: async () => (await import("./commands/completion/completion.ts")).completionOf(commands),
    }),
    deferred({
      name: "version",
      summary: "Prints the versions of nebulactl and of the server.",
      load: async () => (await import("./commands/version/version.ts")).version,
    }),
  ],
};
