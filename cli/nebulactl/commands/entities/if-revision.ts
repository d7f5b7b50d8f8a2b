import type { CommandContext } from "../../command/context.ts";
import type { NumberFlag } from "../../command/flags.ts";

export const IF_REVISION: NumberFlag = {
  kind: "number",
  name: "if-revision",
  placeholder: "N",
  min: 1,
  max: Number.MAX_SAFE_INTEGER,
  integer: true,
  help: "Changes nothing unless this is the stored revision.",
};

/** The value of --if-revision as the API takes it; undefined if it was not given. */
export function ifRevision({ values }: Pick<CommandContext, "values">): bigint | undefined {
  const revision = values.number(IF_REVISION);
  return revision === undefined ? undefined : BigInt(revision);
}
