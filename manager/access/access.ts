import type { Clock } from "../../common/clock/clock.ts";
import type { Drivers } from "../../common/drivers.ts";
import type { Log } from "../../common/log/log.ts";
import { AccessRounds } from "./access-rounds.ts";
import { type Authenticate, createAuthenticate } from "./authenticate.ts";
import { createFailedLogins } from "./failed-logins.ts";
import type { AdminSettings } from "./local-admin.ts";
import { createPageSeal } from "./page-seal.ts";
import { createStoredCredentials, type StoredCredentials } from "./stored-credentials.ts";
import { VerifiedCredentials } from "./verified-credentials.ts";
import { createVisiblePages, type VisiblePages } from "./visible-pages.ts";

/** Some 300 bytes each, kept twice at most; more devices than one process has connections. */
const KEPT_CREDENTIALS = 100_000;

export type AccessOptions = Readonly<{
  /** false: everybody is admin. */
  enabled: boolean;
  /** Where it is off: those whom a gateway names as being elsewhere, too. */
  openToOthers?: boolean;
  clusterKey: string;
  admin: AdminSettings;
  drivers: Pick<Drivers, "accessStore" | "changeFeed">;
  clock: Clock;
  log: Log;
  /** How often the access stamp is read, milliseconds. */
  everyMs: number;
  signal: AbortSignal;
}>;

/** Who calls, whether they still may, and what they see. */
export type Access = Readonly<{
  authenticate: Authenticate;
  rounds: AccessRounds;
  verified: VerifiedCredentials;
  stored: StoredCredentials;
  visiblePages: VisiblePages;
}>;

/** Everything that finds out who calls; runs until the signal is aborted. */
export function createAccess({ enabled, openToOthers = false, clusterKey, admin, drivers, clock, log, everyMs, signal }: AccessOptions): Access {
  const verified = new VerifiedCredentials(KEPT_CREDENTIALS);
  const rounds = new AccessRounds({ ...drivers, clock, log, everyMs, signal });
  rounds.listen({ began: () => verified.forgetAll(), lost: () => verified.forgetAll() });
  const stored = createStoredCredentials({ ...drivers, clock, log });
  const failedLogins = createFailedLogins({ clock, log, signal });
  return {
    authenticate: createAuthenticate({ enabled, openToOthers, clusterKey, admin, stored, verified, failedLogins, round: () => rounds.current }),
    rounds,
    verified,
    stored,
    visiblePages: createVisiblePages(createPageSeal(clusterKey)),
  };
}
