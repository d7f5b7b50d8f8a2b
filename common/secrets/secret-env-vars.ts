import { NebulaError, type Violation } from "../errors/nebula-error.ts";
import { entryPath } from "../text/wording.ts";
import { openValue, type SecretPlace, sealValue } from "./seal-value.ts";
import { displayOf, isDisplay, looksSealed } from "./sealed-text.ts";
import type { SecretKeys } from "./secret-keys.ts";

/** The owner of variables. */
export type SecretOwner = Omit<SecretPlace, "variable">;

/** The secret_env_vars of an app or cron_job, by variable. Functions here change a map in place. */
export type SecretEnvVars = Record<string, string>;

const FIELD = "secret_env_vars";

/**
 * Puts the stored text in place of each value that stands for it: its display, or the value itself. Other values are new.
 * Returns the faults of those: a display of something else, a text that passes for an encrypted one.
 * @param given variables as the caller gave them; those that it left alone as they are stored
 * @param stored encrypted, as they are now
 */
export function keepStored(keys: SecretKeys, owner: SecretOwner, given: SecretEnvVars, stored: Readonly<SecretEnvVars>): Violation[] {
  return Object.entries(given).flatMap(([variable, value]): Violation[] => {
    const before = Object.hasOwn(stored, variable) ? stored[variable] : undefined;
    if (value === before) return [];
    if (before !== undefined && standsFor(keys, { ...owner, variable }, value, before)) {
      given[variable] = before;
      return [];
    }
    const description = faultOf(value);
    return description === undefined ? [] : [{ field: entryPath(FIELD, variable), description }];
  });
}

/** Encrypts what is not encrypted yet. */
export function sealSecretEnvVars(keys: SecretKeys, owner: SecretOwner, secrets: SecretEnvVars): void {
  for (const [variable, value] of Object.entries(secrets)) {
    if (!looksSealed(value)) secrets[variable] = sealValue(keys, { ...owner, variable }, value);
  }
}

/** Decrypts all. Throws `failed_precondition`, which names the variable, where one can't be. */
export function openSecretEnvVars(keys: SecretKeys, owner: SecretOwner, secrets: SecretEnvVars): void {
  for (const [variable, text] of Object.entries(secrets)) {
    const opened = openValue(keys, { ...owner, variable }, text);
    if (opened.kind === "unreadable") {
      throw new NebulaError(
        "failed_precondition",
        `${entryPath(FIELD, variable)} of ${owner.kind} ${owner.name} can't be opened: ${opened.reason}; start the managers with the cluster key that it was stored under, or give the value again`,
      );
    }
    secrets[variable] = opened.value;
  }
}

/** Puts in place of each stored value what reads show. */
export function maskSecretEnvVars(secrets: SecretEnvVars): void {
  for (const [variable, text] of Object.entries(secrets)) secrets[variable] = displayOf(text);
}

function standsFor(keys: SecretKeys, place: SecretPlace, value: string, stored: string): boolean {
  if (value === displayOf(stored)) return true;
  const opened = openValue(keys, place, stored);
  return opened.kind === "opened" && opened.value === value;
}

/** The value itself is not told. */
function faultOf(value: string): string | undefined {
  if (isDisplay(value)) return `${value} is the display of a value, not a value, and not of the one that is stored here; give the value itself`;
  return looksSealed(value) ? "looks like a value that Nebula has encrypted, which stands for nothing here; give the value itself" : undefined;
}
