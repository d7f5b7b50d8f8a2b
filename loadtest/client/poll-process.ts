import { assertNever } from "../../common/errors/assert-never.ts";
import { messageOf, NebulaError } from "../../common/errors/nebula-error.ts";
import { Pollers } from "./poll.ts";
import type { PollAnswer, PollCommand } from "./poll-protocol.ts";

/** The process that polls, driven by messages from the bench; it ends with it. */

let pollers: Pollers | undefined;

function opened(): Pollers {
  if (pollers === undefined) throw new NebulaError("internal", "open comes first");
  return pollers;
}

async function obey(command: PollCommand): Promise<PollAnswer> {
  switch (command.kind) {
    case "open":
      pollers = await Pollers.open(command);
      return { kind: "opened", firstAnswersMs: pollers.firstAnswersMs };
    case "slice":
      await opened().slice(command.ms);
      return { kind: "measured" };
    case "finish":
      return { kind: "polled", ...opened().finish() };
    default:
      return assertNever(command);
  }
}

process.on("message", (command: PollCommand) => {
  obey(command)
    .catch((error: unknown): PollAnswer => ({ kind: "failed", reason: messageOf(error) }))
    .then((answer) => process.send?.(answer));
});
process.on("disconnect", () => process.exit());
