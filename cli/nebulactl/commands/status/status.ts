import { targetKindOf } from "../../../../common/resources/target-kind.ts";
import type { Command } from "../../command/command.ts";
import { entityNamed, NAME } from "../history/entity-named.ts";
import { follow } from "../wait/follow.ts";
import { WAIT_FLAGS, waitOptions } from "../wait/wait-flags.ts";

/** Shows how far a change is that was made before. */
export const status: Command = {
  kind: "command",
  name: "status",
  summary: "Shows whether the newest revision of an app, cron_job or device_group reached the devices.",
  details: [
    "Counts the devices of every device_group that contains it: those that applied it, failed, are offline, work on it, or did not answer yet. Exit code 0:",
    "every online device applied it; 2: some failed; 3: some still work on it, or none is online. With --wait it follows them until then.",
  ],
  arguments: [{ label: "NAME", flag: NAME }],
  required: [NAME],
  flags: WAIT_FLAGS,
  outputs: ["table", "json"],
  examples: ["nebulactl status web", "nebulactl status device_group/pos --wait", "nebulactl status web -o json"],
  async run(context) {
    const options = (await waitOptions(context)) ?? { settleMs: 0, timeoutMs: 0 };
    const { kind, name } = await entityNamed(context.values.text(NAME) ?? "", context);
    return await follow([{ kind: targetKindOf(kind), name }], options, context);
  },
};
