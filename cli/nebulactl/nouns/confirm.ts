import { NebulaError } from "../../../common/errors/nebula-error.ts";
import type { CommandContext } from "../command/context.ts";
import type { SwitchFlag } from "../command/flags.ts";
import { type FindUse, useText } from "./in-use.ts";

export const YES: SwitchFlag = {
  kind: "switch",
  name: "yes",
  help: "Does not ask first. Without a terminal it is needed where something is in use.",
};

/**
 * Asks before something is deleted, where there is somebody to ask, and says who uses it. Without a terminal what is in use is only deleted with --yes.
 * @param what `app web`
 * @param find who uses it; absent: it is never in use
 */
export async function confirmDelete(what: string, name: string, context: CommandContext, find?: FindUse): Promise<void> {
  const { values, io, signal } = context;
  if (values.on(YES)) return;
  const use = await find?.(context, name);
  if (io.terminal === undefined) {
    if (use === undefined) return;
    throw new NebulaError("failed_precondition", `${useText(what, use)}: give --yes to delete it all the same`);
  }
  const answer = await io.terminal.ask(`${use === undefined ? "" : `${useText(what, use)}. `}Delete ${what}? [y/N] `, signal);
  if (!/^y(es)?$/i.test(answer.trim())) throw new NebulaError("cancelled", `${what} was not deleted`);
}
