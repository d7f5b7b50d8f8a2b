import { fromBinary } from "@bufbuild/protobuf";
import { AppSchema } from "../../gen/nebula/v1/app_pb.ts";
import { CronJobSchema } from "../../gen/nebula/v1/cron_job_pb.ts";
import { encodeCanonical } from "../config/canonical-encoding.ts";
import { assertNever } from "../errors/assert-never.ts";
import { NebulaError } from "../errors/nebula-error.ts";
import type { StoredEntity } from "../storage/config-store.ts";
import { entryPath } from "../validation/quote.ts";
import { type Opened, openValue, type SecretPlace, sealValue } from "./seal-value.ts";
import { parseSealed } from "./sealed-text.ts";
import type { SecretEnvVars } from "./secret-env-vars.ts";
import type { SecretKeys } from "./secret-keys.ts";

/** From one cluster key's to another's. */
export type KeyTurn = Readonly<{ from: SecretKeys; to: SecretKeys }>;

/** The body with its secret values under the new key; undefined: none was under the old one, so what was turned over before stays as it is. */
export type TurnedOver = Readonly<{
  body: Uint8Array | undefined /** Values that open under neither key: they stay as they are. */;
  unreadable: number;
}>;

type Stored = Pick<StoredEntity, "kind" | "name" | "revision" | "body">;

/** Puts the secret values of one revision of an entity under the new key. A body that is damaged stays, and counts as one unreadable value. */
export function turnOverBody(turn: KeyTurn, stored: Stored): TurnedOver {
  let [turned, unreadable] = [0, 0];
  const decoded = decode(stored);
  if (decoded === "damaged") return { body: undefined, unreadable: 1 };
  if (decoded === undefined) return { body: undefined, unreadable: 0 };
  for (const [variable, text] of Object.entries(decoded.secrets)) {
    const place = { ...decoded.owner, variable };
    const { opened, isNew } = openUnderEither(turn.from, turn.to, place, text);
    if (opened.kind === "unreadable") unreadable++;
    else if (!isNew) {
      decoded.secrets[variable] = sealValue(turn.to, place, opened.value);
      turned++;
    }
  }
  return { body: turned === 0 ? undefined : decoded.encode(), unreadable };
}

/**
 * Throws `failed_precondition` where a secret value opens under neither key: whoever changes the key of a store whose values are under another would lose them.
 * @param to undefined: nothing is under the new key yet
 */
export function requireReadable(from: SecretKeys, to: SecretKeys | undefined, stored: Stored): void {
  const { kind, name } = stored;
  const decoded = decode(stored);
  if (decoded === "damaged") throw new NebulaError("failed_precondition", `the body of ${kind} ${name} can't be read; nothing was changed`);
  if (decoded === undefined) return;
  for (const [variable, text] of Object.entries(decoded.secrets)) {
    const { opened } = openUnderEither(from, to, { ...decoded.owner, variable }, text);
    if (opened.kind === "unreadable")
      throw new NebulaError(
        "failed_precondition",
        `${entryPath("secret_env_vars", variable)} of ${kind} ${name} can't be opened: ${opened.reason}; give the right cluster key, or this value anew, first. Nothing was changed`,
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
