import { TargetState } from "../../../gen/nebula/v1/report_pb.ts";
import type { TextFlag } from "../command/flags.ts";
import type { Cell } from "../output/table.ts";

const NAMES = { applied: TargetState.APPLIED, working: TargetState.WORKING, failed: TargetState.FAILED } as const;

export const STATE: TextFlag = {
  kind: "text",
  name: "state",
  placeholder: Object.keys(NAMES).join("|"),
  choices: Object.keys(NAMES),
  help: "Only with this state.",
};

/** The state of that name; UNSPECIFIED, which means any, without a name. */
export function parseTargetState(name: string | undefined): TargetState {
  const found = Object.entries(NAMES).find(([known]) => known === name);
  return found?.[1] ?? TargetState.UNSPECIFIED;
}

export function stateCell(state: TargetState): Cell {
  switch (state) {
    case TargetState.APPLIED:
      return { text: "applied", color: "green" };
    case TargetState.WORKING:
      return { text: "working", color: "yellow" };
    case TargetState.FAILED:
      return { text: "failed", color: "red" };
    default:
      return "unknown"; // unset, or added by a newer server
  }
}
