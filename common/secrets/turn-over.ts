import { fromBinary } from "@bufbuild/protobuf";
import { type App, AppSchema } from "../../gen/nebula/v1/app_pb.ts";
import { type CronJob, CronJobSchema } from "../../gen/nebula/v1/cron_job_pb.ts";
import { encodeCanonical } from "../config/canonical-encoding.ts";
import { assertNever } from "../errors/assert-never.ts";
import { messageOf, NebulaError } from "../errors/nebula-error.ts";
import type { StoredEntity } from "../storage/config-store.ts";
import { entryPath } from "../validation/quote.ts";
import { openValue, sealValue } from "./seal-value.ts";
import { parseSealed } from "./sealed-text.ts";
import type { SecretEnvVars, SecretOwner } from "./secret-env-vars.ts";
import type { SecretKeys } from "./secret-keys.ts";

/** From one cluster key's to another's. */
export type KeyTurn = Readonly<{ from: SecretKeys; to: SecretKeys }>;

type Stored = Pick<StoredEntity, "kind" | "name" | "revision" | "body">;

/**
 * The body of an entity with its secret values sealed under the new key; undefined: it holds none under the old one. So what was turned over before stays as it is.
 * Throws `failed_precondition` where a value opens under neither: it would be lost.
 */
export function turnOverBody(turn: KeyTurn, stored: Stored): Uint8Array | undefined {
  switch (stored.kind) {
    case "app": {
      const app = decoded<App>(stored, (body) => fromBinary(AppSchema, body));
      return turnOver(turn, stored, { kind: "app", name: stored.name }, app.secretEnvVars) ? encodeCanonical(AppSchema, app) : undefined;
    }
    case "cron_job": {
      const cronJob = decoded<CronJob>(stored, (body) => fromBinary(CronJobSchema, body));
      return turnOver(turn, stored, { kind: "cron_job", name: stored.name }, cronJob.secretEnvVars)
        ? encodeCanonical(CronJobSchema, cronJob)
        : undefined;
    }
    case "device_group":
      return undefined;
    default:
      return assertNever(stored.kind);
  }
}

/** Whether any value was under the old key. */
function turnOver({ from, to }: KeyTurn, { revision }: Stored, owner: SecretOwner, secrets: SecretEnvVars): boolean {
  let turned = false;
  for (const [variable, text] of Object.entries(secrets)) {
    const place = { ...owner, variable };
    const isNew = parseSealed(text)?.keyId === to.id;
    const opened = openValue(isNew ? to : from, place, text);
    if (opened.kind === "unreadable") {
      throw new NebulaError(
        "failed_precondition",
        `${entryPath("secret_env_vars", variable)} of ${owner.kind} ${owner.name}, revision ${revision}, opens under neither the old nor the new cluster key: ${opened.reason}; nothing was changed`,
      );
    }
    if (isNew) continue;
    secrets[variable] = sealValue(to, place, opened.value);
    turned = true;
  }
  return turned;
}

function decoded<M>({ kind, name, revision, body }: Stored, decode: (body: Uint8Array) => M): M {
  try {
    return decode(body);
  } catch (error) {
    throw new NebulaError("failed_precondition", `${kind} ${name}, revision ${revision}, can't be read: ${messageOf(error)}; nothing was changed`);
  }
}
