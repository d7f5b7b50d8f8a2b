import type { CommandContext, NebulaCommand } from "./command/command.ts";
import { WORKER_COMMAND } from "./commands/worker/worker-command.ts";

type Alone = "startServer" | "startManagerAlone" | "startGatewayAlone" | "startReporterAlone";

/** A command loads its modules when it runs: a worker must not load the manager. */
function parts(name: "server" | "manager" | "gateway" | "reporter", start: Alone, summary: string): NebulaCommand {
  return {
    kind: "settings",
    name,
    summary,
    ownFlags: [],
    async run(context: CommandContext) {
      const [{ runParts }, starts] = await Promise.all([import("./commands/server/run-parts.ts"), import("./commands/server/start-server.ts")]);
      return await runParts(name, starts[start], context);
    },
  };
}

/** Every subcommand of `nebula`. */
export const COMMANDS: readonly NebulaCommand[] = [
  parts("server", "startServer", "manager, gateway and reporter in one process; needs no other service"),
  parts("manager", "startManagerAlone", "a manager alone: the API over gRPC and the watches of workers; needs a reporter to store reports"),
  parts("gateway", "startGatewayAlone", "a gateway alone: the API as JSON over HTTP, forwarded to managers"),
  parts("reporter", "startReporterAlone", "a reporter alone: stores the reports that arrive on the bus; any number share the work"),
  WORKER_COMMAND,
  {
    kind: "settings",
    name: "migrate",
    summary: "updates a store to this version, moves it to another database, repairs it after a restore, rotates its cluster key",
    ownFlags: [
      {
        name: "from",
        switch: false,
        placeholder: "URL",
        meaning: "Move all that this store holds, while no server uses it: sqlite:FOLDER or cassandra://host:9042/keyspace (docs/cassandra.md).",
      },
      { name: "to", switch: false, placeholder: "URL", meaning: "The store to move to: an empty folder, or a keyspace that is not in use." },
      { name: "from-reports", switch: false, placeholder: "URL", meaning: "Where the reports are, if not in --from." },
      { name: "to-reports", switch: false, placeholder: "URL", meaning: "Where the reports go, if not to --to." },
      {
        name: "after-restore",
        switch: true,
        placeholder: "",
        meaning: "The store is a restored backup: make devices follow it again (raises the epoch).",
      },
      {
        name: "new-cluster-key",
        switch: true,
        placeholder: "",
        meaning: "Encrypt all secret values with a new cluster key: NEBULA_NEW_CLUSTER_KEY, or a generated one (docs/secrets.md).",
      },
    ],
    run: async (context) => (await import("./commands/migrate/migrate.ts")).migrate(context),
  },
  {
    kind: "settings",
    name: "backup",
    summary: "copies a sqlite store while the server runs",
    ownFlags: [{ name: "to", switch: false, placeholder: "FOLDER", meaning: "The folder to create; it must not exist yet." }],
    run: async (context) => (await import("./commands/backup/backup.ts")).backup(context),
  },
  {
    kind: "settings",
    name: "health",
    summary: "asks the part that runs here with the same settings whether it is well; for health checks of containers",
    ownFlags: [{ name: "ready", switch: true, placeholder: "", meaning: "Ask whether it can do its work (/readyz), not only whether it answers." }],
    run: async (context) => (await import("./commands/health/health.ts")).health(context),
  },
  {
    kind: "plain",
    name: "demo",
    summary:
      "a tour: starts a server and simulated devices, rolls out a change and prints a summary; uses NEBULA_STORE, NEBULA_REDIS and NEBULA_BUS if they are set",
    ownFlags: [
      { name: "keep", switch: true, placeholder: "", meaning: "Keep running after the summary, until interrupted." },
      { name: "devices", switch: false, placeholder: "N", meaning: "Number of simulated devices, 1 to 2000. Default: 100." },
    ],
    run: async (context) => (await import("./commands/demo/demo.ts")).demo(context),
  },
];
