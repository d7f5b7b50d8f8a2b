import { NebulaError } from "../../../common/errors/nebula-error.ts";
import type { CommandContext } from "../command/context.ts";
import type { SwitchFlag } from "../command/flags.ts";

export const YES: SwitchFlag = { kind: "switch", name: "yes", help: "Does not ask first. Without a terminal nothing is asked." };

/** Asks before something is deleted, where there is somebody to ask. @param what `app web` */
export async function confirmDelete(what: string, { values, io, signal }: CommandContext): Promise<void> {
  if (values.on(YES) || io.terminal === undefined) return;
  const answer = await io.terminal.ask(`Delete ${what}? [y/N] `, signal);
  if (!/^y(es)?$/i.test(answer.trim())) throw new NebulaError("cancelled", `${what} was not deleted`);
}
