import type { CommandContext, NebulaCommand } from "./command.ts";
import { WORKER_COMMAND } from "./worker-command.ts";

type Alone = "startServer" | "startManagerAlone" | "startGatewayAlone" | "startReporterAlone";

/** A command loads what it needs when it runs: a worker has no use for a manager's code. */
function parts(name: "server" | "manager" | "gateway" | "reporter", start: Alone, summary: string): NebulaCommand {
  return {
    kind: "settings",
    name,
    summary,
    ownFlags: [],
    async run(context: CommandContext) {
      const [{ runParts }, starts] = await Promise.all([import("./run-parts.ts"), import("./start-server.ts")]);
      return await runParts(name, starts[start], context);
    },
  };
}

/** Every subcommand of `nebula`. */
export const COMMANDS: readonly NebulaCommand[] = [
  parts("server", "startServer", "manager, gateway and reporter in one process; needs no other server"),
  parts("manager", "startManagerAlone", "a manager by itself: the API as gRPC, and the workers' watches; without a reporter it keeps no reports"),
  parts("gateway", "startGatewayAlone", "a gateway by itself: the API as JSON over HTTP, on top of managers"),
  parts(
    "reporter",
    "startReporterAlone",
    "a reporter by itself: takes reports from a bus of several processes, for which this version has no driver",
  ),
  WORKER_COMMAND,
  {
    kind: "settings",
    name: "migrate",
    summary: "brings a store up to date, sets it right after a restore, turns it over to a new cluster key",
    ownFlags: [
      {
        name: "after-restore",
        switch: true,
        placeholder: "",
        meaning: "The store is a restored backup: have devices follow it again (raises the epoch).",
      },
      {
        name: "new-cluster-key",
        switch: true,
        placeholder: "",
        meaning: "Put all secret values under a new cluster key: NEBULA_NEW_CLUSTER_KEY, or one that is made (docs/secrets.md).",
      },
    ],
    run: async (context) => (await import("./migrate.ts")).migrate(context),
  },
  {
    kind: "settings",
    name: "backup",
    summary: "copies a sqlite store whole, while the server runs",
    ownFlags: [{ name: "to", switch: false, placeholder: "FOLDER", meaning: "Where to: a folder that is not there yet." }],
    run: async (context) => (await import("./backup.ts")).backup(context),
  },
  {
    kind: "plain",
    name: "demo",
    summary: "the tour: a server, a fleet of simulated devices and this machine's own, a change, a summary",
    ownFlags: [
      { name: "keep", switch: true, placeholder: "", meaning: "Stay up after the summary, until interrupted." },
      { name: "devices", switch: false, placeholder: "N", meaning: "How many simulated devices, 1 to 2000. Default: 100." },
    ],
    run: async (context) => (await import("./run-demo.ts")).demo(context),
  },
];
