import type { Violation } from "../errors/nebula-error.ts";
import { entryPath } from "./quote.ts";

/** The names of environment variables. Values may be anything (that they hold no NUL is the message's shape), and are never shown. */
export function validateEnvVars(envVars: Readonly<Record<string, string>>): Violation[] {
  return Object.keys(envVars).flatMap((name) => {
    if (name === "") return [{ field: "env_vars", description: "has a variable without a name; a name is at least one character" }];
    if (name.includes("="))
      return [{ field: entryPath("env_vars", name), description: "has '=' in its name, where no variable can have one; leave it out" }];
    return [];
  });
}
