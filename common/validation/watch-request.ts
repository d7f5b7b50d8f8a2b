import type { WatchConfigRequest } from "../../gen/nebula/v1/config_pb.ts";
import type { Violation } from "../errors/nebula-error.ts";
import { validateName } from "./name.ts";
import { bootViolations, deviceIdViolations } from "./report.ts";

/** What a keepalive of 0 stands for, milliseconds. */
export const DEFAULT_KEEPALIVE_MS = 300_000;
const SHORTEST_KEEPALIVE_MS = 10_000;
const LONGEST_KEEPALIVE_MS = 1_800_000;

const LONGEST_ETAG = 64;

/** What is wrong with a WatchConfigRequest. */
export function validateWatchRequest(request: WatchConfigRequest): readonly Violation[] {
  const violations = validateName(request.deviceGroup, "device_group");
  const keepalive = request.keepaliveMs;
  if (keepalive !== 0 && (keepalive < SHORTEST_KEEPALIVE_MS || keepalive > LONGEST_KEEPALIVE_MS)) {
    violations.push({
      field: "keepalive_ms",
      description: `${keepalive} is out of range: ${SHORTEST_KEEPALIVE_MS} to ${LONGEST_KEEPALIVE_MS}, or 0 for ${DEFAULT_KEEPALIVE_MS}`,
    });
  }
  if (request.deviceId !== "") violations.push(...deviceIdViolations(request.deviceId, "device_id"), ...bootViolations(request.boot, "boot"));
  if (request.etag.length > LONGEST_ETAG)
    violations.push({ field: "etag", description: `is longer than any etag: at most ${LONGEST_ETAG} characters` });
  return violations;
}
