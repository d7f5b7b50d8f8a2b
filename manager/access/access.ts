import type { Clock } from "../../common/clock/clock.ts";
import type { Drivers } from "../../common/drivers.ts";
import type { Log } from "../../common/log/log.ts";
import { AccessGenerations } from "./access-generations.ts";
import { type Authenticate, createAuthenticate } from "./authenticate.ts";
import type { AdminSettings } from "./credentials.ts";
import { createFailedLogins } from "./limits/failed-logins.ts";
import { RotatedTokens } from "./limits/rotations.ts";
import { createPageSeal, createVisiblePages, type VisiblePages } from "./rights/visible-pages.ts";
import { createSessionBindings, type SessionBindings } from "./sessions.ts";
import { createStoredCredentials, type StoredCredentials } from "./stored-credentials.ts";
import { LoginIndex, VerifiedCredentials } from "./verified-credentials.ts";

/** Some 300 bytes each, kept twice at most; more devices than one process has connections. */
const KEPT_CREDENTIALS = 100_000;

export type AccessOptions = Readonly<{
  /** false: everybody is admin. */
  enabled: boolean;
  /** Where it is off: those whom a gateway names as being elsewhere, too. */
  openToOthers?: boolean;
  clusterKey: string;
  admin: AdminSettings;
  drivers: Pick<Drivers, "accessStore" | "changeFeed" | "loginCounts">;
  clock: Clock;
  log: Log;
  /** How often the access stamp is read, milliseconds. */
  everyMs: number;
  signal: AbortSignal;
}>;

/** The parts that tell who calls, whether they still may, and what they see. */
export type Access = Readonly<{
  authenticate: Authenticate;
  generations: AccessGenerations;
  verified: VerifiedCredentials;
  /** Every login that is cached, or has an open watch. */
  index: LoginIndex;
  stored: StoredCredentials;
  sessions: SessionBindings;
  visiblePages: VisiblePages;
}>;

/** Everything that finds out who calls; runs until the signal is aborted. */
export function createAccess({ enabled, openToOthers = false, clusterKey, admin, drivers, clock, log, everyMs, signal }: AccessOptions): Access {
  const index = new LoginIndex();
  const rotated = new RotatedTokens(clock);
  const generations = new AccessGenerations({ ...drivers, clock, log, everyMs, signal });
  const verified = new VerifiedCredentials({ limit: KEPT_CREDENTIALS, index, generation: () => generations.current, sessionMs: everyMs, clock });
  generations.listen({
    named: (subject) => {
      for (const login of index.of(subject)) {
        const { principal } = login.verified;
        login.isSuspect ||= principal.kind !== "device" || !rotated.isOwn(principal.tokenHash);
      }
    },
  });
  const sessions = createSessionBindings(admin, clusterKey);
  const stored = createStoredCredentials({ ...drivers, localAdmin: admin.user, sessions, rotated, clock, log });
  const failedLogins = createFailedLogins({ shared: drivers.loginCounts, clock, log, signal });
  return {
    authenticate: createAuthenticate({ enabled, openToOthers, clusterKey, admin, stored, verified, failedLogins, generations, clock }),
    generations,
    verified,
    index,
    stored,
    sessions,
    visiblePages: createVisiblePages(createPageSeal(clusterKey)),
  };
}
