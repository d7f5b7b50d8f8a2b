import { NebulaError } from "../../common/errors/nebula-error.ts";

/** What a manager's answer always holds. Throws `internal` where it does not. */
export function present<T>(value: T | undefined, what: string): T {
  if (value === undefined) throw new NebulaError("internal", `a manager answered without the ${what}`);
  return value;
}
