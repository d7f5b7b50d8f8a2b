import { CannotListen } from "../../common/http/listen.ts";
import type { ListenAddress } from "../../common/settings/settings.ts";

/** An error of a listener as one that names the setting and says what to do; any other error as it is. */
export function asCannotListen(error: unknown, address: ListenAddress, setting: string): unknown {
  for (let cause = error; cause instanceof Error; cause = cause.cause) {
    if ("syscall" in cause && cause.syscall === "listen") return new CannotListen(address, setting, cause);
  }
  return error;
}
