import { isNebulaError, messageOf, NebulaError } from "../../errors/nebula-error.ts";

/** Does what SQLite may refuse (a full disk, a closed database); that is `unavailable`, and may go well later. `what` goes on from `could not`. */
export type Attempt = <T>(what: string, work: () => T) => T;

/** @param store what the store is called in errors: `access`, `report` */
export function attemptOf(store: string): Attempt {
  return (what, work) => {
    try {
      return work();
    } catch (error) {
      if (isNebulaError(error) || !isSqliteError(error)) throw error;
      throw new NebulaError("unavailable", `the ${store} store could not ${what}: ${messageOf(error)}`, { cause: error });
    }
  };
}

/** node:sqlite has codes of its own: ERR_SQLITE_ERROR for what SQLite answers, ERR_INVALID_STATE for a database that is closed. */
function isSqliteError(error: unknown): boolean {
  return error instanceof Error && "code" in error && (error.code === "ERR_SQLITE_ERROR" || error.code === "ERR_INVALID_STATE");
}
