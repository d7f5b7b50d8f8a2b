import { TargetState, TargetStateSchema } from "../../gen/nebula/v1/report_pb.ts";
import type { Violation } from "../errors/nebula-error.ts";
import { validateName } from "./name.ts";
import { deviceIdViolations } from "./report.ts";

/** What lists of devices and of reports are narrowed by; empty or unspecified: not by that. */
export type StatusFilter = Readonly<{ deviceId?: string; deviceGroup: string; state: TargetState }>;

/** What can match no device there may ever be: a typing error, which an empty list would hide. */
export function validateStatusFilter({ deviceId = "", deviceGroup, state }: StatusFilter): Violation[] {
  const states = TargetStateSchema.values.filter(({ number }) => number !== TargetState.UNSPECIFIED);
  const isKnown = state === TargetState.UNSPECIFIED || states.some(({ number }) => number === state);
  return [
    ...(deviceId === "" ? [] : deviceIdViolations(deviceId, "device_id")),
    ...(deviceGroup === "" ? [] : validateName(deviceGroup, "device_group")),
    ...(isKnown ? [] : [{ field: "state", description: `${state} is no state; ${states.map(({ name }) => name).join(", ")} would do` }]),
  ];
}
