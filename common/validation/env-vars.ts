import type { Violation } from "../errors/nebula-error.ts";
import { entryPath } from "./quote.ts";

type EnvFields = Readonly<{ envVars: Readonly<Record<string, string>>; secretEnvVars: Readonly<Record<string, string>> }>;

/** The names of environment variables. Values may be anything (that they hold no NUL is the message's shape), and are never shown. */
export function validateEnvVars({ envVars, secretEnvVars }: EnvFields): Violation[] {
  return [...nameViolations("env_vars", envVars), ...nameViolations("secret_env_vars", secretEnvVars), ...inBoth(envVars, secretEnvVars)];
}

function nameViolations(field: string, variables: Readonly<Record<string, string>>): Violation[] {
  return Object.keys(variables).flatMap((name) => {
    if (name === "") return [{ field, description: "has a variable without a name; a name is at least one character" }];
    if (name.includes("="))
      return [{ field: entryPath(field, name), description: "has '=' in its name, where no variable can have one; leave it out" }];
    return [];
  });
}

function inBoth(envVars: EnvFields["envVars"], secretEnvVars: EnvFields["secretEnvVars"]): Violation[] {
  return Object.keys(secretEnvVars).flatMap((name) => {
    if (!Object.hasOwn(envVars, name)) return [];
    return [{ field: entryPath("secret_env_vars", name), description: "is in env_vars, too; a name is in one of them: remove it from the other" }];
  });
}
