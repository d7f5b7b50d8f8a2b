import { TargetState } from "../../../gen/nebula/v1/report_pb.ts";
import type { TextFlag } from "../command/flags.ts";

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
