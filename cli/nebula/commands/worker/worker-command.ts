import { NebulaError } from "../../../../common/errors/nebula-error.ts";
import type { NebulaCommand } from "../../command/command.ts";

/** `nebula worker`, in a file of its own: the program of a device must not load the other commands. */
export const WORKER_COMMAND: NebulaCommand = {
  kind: "settings",
  name: "worker",
  summary: "a worker: applies the config of its device_group to the Docker Engine of this machine",
  ownFlags: [
    {
      name: "remove-everything",
      switch: true,
      placeholder: "",
      meaning:
        "Remove what the worker made on this device, and its data folder, and end (docs/install.md). Its containers are stopped first; images and named volumes stay.",
    },
    { name: "volumes", switch: true, placeholder: "", meaning: "With --remove-everything: remove the containers' anonymous volumes, too." },
    { name: "yes", switch: true, placeholder: "", meaning: "With --remove-everything: do not ask. Needed without a terminal." },
  ],
  async run(context) {
    if (context.own.get("remove-everything") === "true") return await (await import("./remove-everything.ts")).removeEverything(context);
    for (const flag of ["volumes", "yes"]) {
      if (context.own.get(flag) === "true") throw new NebulaError("invalid_argument", `--${flag}: is a flag of --remove-everything alone`);
    }
    return await (await import("./run-worker.ts")).runWorker(context);
  },
};
