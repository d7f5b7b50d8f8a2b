import { messageOf } from "../../common/errors/nebula-error.ts";
import { poll } from "./poll.ts";
import type { PollAnswer, PollCommand } from "./poll-protocol.ts";

/** The process that polls, driven by messages from the bench; it ends with it. */

function answer(message: PollAnswer): void {
  process.send?.(message);
}

process.on("message", (command: PollCommand) => {
  poll(command, () => answer({ kind: "measuring" })).then(
    (polled) => answer({ kind: "polled", ...polled }),
    (error: unknown) => answer({ kind: "failed", reason: messageOf(error) }),
  );
});
process.on("disconnect", () => process.exit());
