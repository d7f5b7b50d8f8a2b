/**
 * Sessions: tokens that stand for another credential of a user for some hours, as of a browser.
 *
 * N1 A session token is known by its form, and is looked up among sessions alone: one read, by an id that is a part of
 *    its hash.
 * N2 A session is bound to the credential that it was made with, and counts only while that is what it was: the password
 *    of a user, its token, or the password or token of the local admin. The session has the rights of the user as they are now.
 * N3 A session makes no other session, so it ends at the latest when it was made to.
 */
import { createHmac, hash, timingSafeEqual } from "node:crypto";
import { newToken, tokenHash } from "../../common/access/tokens.ts";
import type { Clock } from "../../common/clock/clock.ts";
import { assertNever } from "../../common/errors/assert-never.ts";
import type { Log } from "../../common/log/log.ts";
import type { AccessStore, StoredSession, StoredUser } from "../../common/storage/access-store.ts";
import { removeOld } from "../../common/storage/remove-old.ts";
import type { AdminSettings } from "./credentials.ts";
import type { LoginSource } from "./verified-credentials.ts";

/** Sessions that a user has at most: one more ends the oldest. docs/limits.md names it. */
export const MOST_SESSIONS = 20;
/** How long a session lasts unless NEBULA_SESSION_TTL says otherwise, milliseconds. */
export const SESSION_TTL_MS = 12 * 3_600_000;

const PREFIX = "nbs_";
const ID_DIGITS = 16;

export function newSessionToken(): string {
  return PREFIX + newToken();
}

/** N1 */
export function isSessionToken(token: string): boolean {
  return token.length === PREFIX.length + 43 && token.startsWith(PREFIX);
}

/** The id and the stored form of a session token. */
export function sessionKey(token: string): Readonly<{ id: string; tokenHash: string }> {
  const hashed = tokenHash(token);
  return { id: hashed.slice(0, ID_DIGITS), tokenHash: hashed };
}

/** The credential that a session was made with. */
export type MadeWith = "password" | "token";

/** The bindings of sessions (N2), as StoredSession.boundTo has it. */
export type SessionBindings = {
  /** The binding of a session that is made with this credential; undefined: the credential makes none (N3). */
  of(source: LoginSource): string | undefined;
  /** Whether the session is the local admin's, and its credential is what it was. */
  isOfLocalAdmin(session: StoredSession): boolean;
  /** Whether the credential of the user is what it was when the session was made. */
  isOfUser(session: StoredSession, user: StoredUser): boolean;
};

/** Secrets of the configuration are kept as HMACs under the cluster key: every manager that has the same ones agrees. */
export function createSessionBindings(admin: AdminSettings, clusterKey: string): SessionBindings {
  const ofAdmin = (secret: MadeWith, value: string) => {
    const key = createHmac("sha256", clusterKey).update("nebula session bindings 1").digest();
    return `admin_${secret} ${createHmac("sha256", key)
      .update(JSON.stringify([admin.user, value]))
      .digest("base64url")}`;
  };
  const adminPassword = ofAdmin("password", admin.password);
  const adminToken = admin.token === undefined || admin.token === "" ? undefined : ofAdmin("token", admin.token);

  return {
    of(source) {
      switch (source.kind) {
        case "password":
          return ofPassword(source.revision, source.passwordHash);
        case "user_token":
          return `user_token ${source.tokenHash}`;
        case "configured":
          if (source.secret === undefined) return undefined;
          return source.secret === "password" ? adminPassword : adminToken;
        case "session":
        case "token":
          return undefined;
        default:
          return assertNever(source);
      }
    },

    isOfLocalAdmin({ boundTo }) {
      return isSame(boundTo, adminPassword) || (adminToken !== undefined && isSame(boundTo, adminToken));
    },

    isOfUser({ user: name, boundTo }, user) {
      if (user.deleted || user.name !== name) return false;
      const [kind, value = "", passwordDigest] = boundTo.split(" ");
      if (kind === "user_token") return user.tokenHash !== "" && user.tokenHash === value;
      if (kind !== "user_password" || user.passwordHash === "") return false;
      // A password that is hashed again makes no new revision; one that is not changed keeps its hash.
      return String(user.revision) === value || digest(user.passwordHash) === passwordDigest;
    },
  };
}

/** The credential that a session was made with. */
export function madeWith({ boundTo }: Pick<StoredSession, "boundTo">): MadeWith {
  return /^\w+_token /.test(boundTo) ? "token" : "password";
}

/** How often, and how long after their end, expired sessions are removed, milliseconds. */
const EXPIRED_EVERY_MS = 10 * 60_000;
const EXPIRED_KEPT_MS = 60_000;
const EXPIRED_PAUSE_MS = 50;

export type ExpireSessionsParts = Readonly<{ accessStore: Pick<AccessStore, "expireSessions">; clock: Clock; log: Log }>;

/** Removes sessions that have expired, until the signal is aborted; resolves then. */
export function expireSessions({ accessStore, clock, log }: ExpireSessionsParts, signal: AbortSignal): Promise<void> {
  const remove = (beforeMs: number) => accessStore.expireSessions(beforeMs);
  const pace = { keptMs: EXPIRED_KEPT_MS, everyMs: EXPIRED_EVERY_MS, pauseMs: EXPIRED_PAUSE_MS };
  return removeOld({ remove, ...pace, what: "sessions", clock, log }, signal);
}

function ofPassword(revision: bigint, passwordHash: string): string {
  return `user_password ${revision} ${digest(passwordHash)}`;
}

function digest(passwordHash: string): string {
  return hash("sha256", passwordHash, "base64url");
}

function isSame(one: string, other: string): boolean {
  return timingSafeEqual(hash("sha256", one, "buffer"), hash("sha256", other, "buffer"));
}
