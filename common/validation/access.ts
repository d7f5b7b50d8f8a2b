import type { Violation } from "../errors/nebula-error.ts";
import { validateName } from "./name.ts";
import { deviceIdViolations } from "./report.ts";

const MOST_USES = 1_000_000;
const LONGEST_SECONDS = 365 * 86_400;
/** SHA-256, bytes. */
const HASH_BYTES = 32;

/** What is wrong with a request for an enrolment token, if anything is. */
export function validateEnrolmentRequest(request: Readonly<{ deviceGroup: string; uses: number; expiresInSeconds: number }>): Violation[] {
  const { deviceGroup, uses, expiresInSeconds } = request;
  const violations = [...validateName(deviceGroup, "device_group")];
  if (uses > MOST_USES) violations.push({ field: "uses", description: `${uses} is too many: 1 to ${MOST_USES} would do, or 0 for 1` });
  if (expiresInSeconds > LONGEST_SECONDS) {
    violations.push({
      field: "expires_in_seconds",
      description: `${expiresInSeconds} is too long: 1 to ${LONGEST_SECONDS}, a year, would do, or 0 for a day`,
    });
  }
  return violations;
}

/** What is wrong with a device that wants to come in, if anything is. */
export function validateEnrolment({ deviceId, tokenHash }: Readonly<{ deviceId: string; tokenHash: Uint8Array }>): Violation[] {
  return [...deviceIdViolations(deviceId, "device_id"), ...tokenHashViolations(tokenHash, "token_hash")];
}

/** What is wrong with the hash of a token, if anything is. */
export function tokenHashViolations(hash: Uint8Array, field: string): Violation[] {
  if (hash.byteLength === HASH_BYTES) return [];
  return [{ field, description: `it has ${hash.byteLength} bytes: the SHA-256 of the token, ${HASH_BYTES} bytes, would do` }];
}

/** What is wrong with the id of an enrolment token, if anything is. */
export function enrolmentIdViolations(id: string, field: string): Violation[] {
  if (/^[0-9a-f]{16}$/.test(id)) return [];
  // Not repeated: it may be the token itself.
  return [
    {
      field,
      description: "is no id of an enrolment token, nor would the token itself do: 16 hexadecimal digits, as the list of enrolment tokens has them",
    },
  ];
}
