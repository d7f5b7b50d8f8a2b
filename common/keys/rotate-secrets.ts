import { fromBinary } from "@bufbuild/protobuf";
import { AppSchema } from "../../gen/nebula/v1/app_pb.ts";
import { CronJobSchema } from "../../gen/nebula/v1/cron_job_pb.ts";
import { encodeCanonical } from "../config/canonical-encoding.ts";
import { assertNever } from "../errors/assert-never.ts";
import { NebulaError } from "../errors/nebula-error.ts";
import { type Opened, openValue, type SecretPlace, sealValue } from "../secrets/seal-value.ts";
import { parseSealed } from "../secrets/sealed-text.ts";
import type { SecretEnvVars } from "../secrets/secret-env-vars.ts";
import type { SecretKeys } from "../secrets/secret-keys.ts";
import { entryPath } from "../text/wording.ts";

/** The keys that a rotation of the cluster key leads from and to. */
export type KeyRotation = Readonly<{ from: SecretKeys; to: SecretKeys }>;

export type RotatedBody = Readonly<{
  /** The body with its secret values sealed under the new key; undefined if none was under the old one. */
  body: Uint8Array | undefined;
  /** The number of values that open under neither key: they stay unchanged. */
  unreadable: number;
}>;

/** One revision of an entity as a store holds it. */
type Stored = Readonly<{ kind: "app" | "cron_job" | "device_group"; name: string; body: Uint8Array }>;

/** Seals the secret values of one revision of an entity under the new key. A damaged body stays unchanged and counts as one unreadable value. */
export function rotateBody(rotation: KeyRotation, stored: Stored): RotatedBody {
  let [rotated, unreadable] = [0, 0];
  const decoded = decode(stored);
  if (decoded === "damaged") return { body: undefined, unreadable: 1 };
  if (decoded === undefined) return { body: undefined, unreadable: 0 };
  for (const [variable, text] of Object.entries(decoded.secrets)) {
    const place = { ...decoded.owner, variable };
    const { opened, isNew } = openUnderEither(rotation.from, rotation.to, place, text);
    if (opened.kind === "unreadable") unreadable++;
    else if (!isNew) {
      decoded.secrets[variable] = sealValue(rotation.to, place, opened.value);
      rotated++;
    }
  }
  return { body: rotated === 0 ? undefined : decoded.encode(), unreadable };
}

/**
 * Throws `failed_precondition` if a secret value opens under neither key: a rotation that starts from a wrong key would lose the value.
 * @param to undefined if nothing is under the new key yet
 */
export function requireReadable(from: SecretKeys, to: SecretKeys | undefined, stored: Stored): void {
  const { kind, name } = stored;
  const decoded = decode(stored);
  if (decoded === "damaged") throw new NebulaError("failed_precondition", `the body of ${kind} ${name} is damaged; nothing was changed`);
  if (decoded === undefined) return;
  for (const [variable, text] of Object.entries(decoded.secrets)) {
    const { opened } = openUnderEither(from, to, { ...decoded.owner, variable }, text);
    if (opened.kind === "unreadable")
      throw new NebulaError(
        "failed_precondition",
        `${entryPath("secret_env_vars", variable)} of ${kind} ${name} can't be opened: ${opened.reason}; nothing was changed; give the right cluster key, or set this value again first`,
      );
  }
}

function openUnderEither(from: SecretKeys, to: SecretKeys | undefined, place: SecretPlace, text: string): { opened: Opened; isNew: boolean } {
  const isNew = to !== undefined && parseSealed(text)?.keyId === to.id;
  return { opened: openValue(isNew ? to : from, place, text), isNew };
}

type Decoded = Readonly<{ owner: Omit<SecretPlace, "variable">; secrets: SecretEnvVars; encode(): Uint8Array }>;

/** undefined: nothing in it can be secret. */
function decode({ kind, name, body }: Stored): Decoded | "damaged" | undefined {
  try {
    switch (kind) {
      case "app": {
        const app = fromBinary(AppSchema, body);
        return { owner: { kind, name }, secrets: app.secretEnvVars, encode: () => encodeCanonical(AppSchema, app) };
      }
      case "cron_job": {
        const cronJob = fromBinary(CronJobSchema, body);
        return { owner: { kind, name }, secrets: cronJob.secretEnvVars, encode: () => encodeCanonical(CronJobSchema, cronJob) };
      }
      case "device_group":
        return undefined;
      default:
        return assertNever(kind);
    }
  } catch {
    return "damaged";
  }
}
