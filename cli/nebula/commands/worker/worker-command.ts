import type { NebulaCommand } from "../../command/command.ts";

/** `nebula worker`, in a file of its own: the program of a device must not load the other commands. */
export const WORKER_COMMAND: NebulaCommand = {
  kind: "settings",
  name: "worker",
  summary: "a worker: applies the config of its device_group to the Docker Engine of this machine",
  ownFlags: [],
  run: async (context) => (await import("./run-worker.ts")).runWorker(context),
};
