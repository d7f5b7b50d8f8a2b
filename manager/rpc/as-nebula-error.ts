import { isNebulaError, NebulaError } from "../../common/errors/nebula-error.ts";
import type { Log } from "../../common/log/log.ts";

/** What a caller is told of an error. One that nobody threw on purpose goes out as `internal` with the call's id alone; its cause is in the log under that id. */
export function asNebulaError(error: unknown, call: { method: string; requestId: string }, log: Log): NebulaError {
  if (isNebulaError(error)) return error;
  log.error({ err: error, ...call }, "a call failed in a way that nobody foresaw");
  return new NebulaError("internal", `internal error; the manager's log has its cause under the id ${call.requestId}`);
}
