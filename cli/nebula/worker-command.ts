import type { NebulaCommand } from "./command.ts";

/** `nebula worker`, by itself: what a device has needs none of the other commands' code. */
export const WORKER_COMMAND: NebulaCommand = {
  kind: "settings",
  name: "worker",
  summary: "a worker: makes this machine's Docker Engine as its device_group's config says",
  ownFlags: [],
  run: async (context) => (await import("./run-worker.ts")).runWorker(context),
};
