import { NebulaError } from "../../../../common/errors/nebula-error.ts";
import { counted } from "../../../../common/text/wording.ts";
import type { CommandContext } from "../../command/context.ts";
import type { SwitchFlag } from "../../command/flags.ts";
import type { Call } from "./kind.ts";

/** The users, of one kind, of an object that is about to be deleted. */
export type Use = Readonly<{
  /** The kind of the users: `device_group`. */
  kind: string;
  names: readonly string[];
  /** Whether there are more than `names` holds. */
  more: boolean;
  /** The devices that are affected, where they are counted. */
  devices?: bigint | undefined;
  /** The effect of the delete on the users: `its devices remove the containers of web`. */
  consequence: string;
}>;

/** Finds the users of the object with this name; undefined if this login may see none. */
export type FindUse = (call: Call, name: string) => Promise<Use | undefined>;

/** The most names that a question shows; the rest is counted. */
const SHOWN = 5;

export const YES: SwitchFlag = {
  kind: "switch",
  name: "yes",
  help: "Skips the confirmation. Without a terminal, deleting an object in use needs it.",
};

/**
 * Asks before an object is deleted and names its users. Without a terminal it does not ask, and an object in use is
 * deleted only with
 * --yes.
 * @param what `app web`
 * @param find finds its users; absent if it is never in use
 */
export async function confirmDelete(what: string, name: string, context: CommandContext, find?: FindUse): Promise<void> {
  const { values, io, signal } = context;
  if (values.on(YES)) return;
  const use = await find?.(context, name);
  if (io.terminal === undefined) {
    if (use === undefined) return;
    throw new NebulaError("failed_precondition", `${useText(what, use)}; use --yes to delete it anyway`);
  }
  const answer = await io.terminal.ask(`${use === undefined ? "" : `${useText(what, use)}. `}Delete ${what}? [y/N] `, signal);
  if (!/^y(es)?$/i.test(answer.trim())) throw new NebulaError("cancelled", `${what} was not deleted`);
}

/** `app web is in use by 2 device_groups (pos, till; 1204 devices); their devices remove the containers of web`. */
function useText(what: string, { kind, names, more, devices, consequence }: Use): string {
  const count = `${names.length}${more ? " or more" : ""}`;
  const affected = devices === undefined ? "" : `; ${counted(devices, "device")}`;
  const shown = `${names.slice(0, SHOWN).join(", ")}${names.length > SHOWN || more ? ", ..." : ""}${affected}`;
  return `${what} is in use by ${count} ${kind}${names.length === 1 && !more ? "" : "s"} (${shown}); ${consequence}`;
}
