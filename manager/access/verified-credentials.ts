import { BoundedMap } from "../../common/bounded-map.ts";
import type { Clock } from "../../common/clock/clock.ts";
import type { StoredSession } from "../../common/storage/access-store.ts";
import type { Principal } from "./principal.ts";

/** How a credential was verified, and what a later check compares. */
export type LoginSource = Readonly<
  /** The configuration: it holds as long as the process. `secret`: of the local admin's that was shown; undefined: none. */
  | { kind: "configured"; secret?: "password" | "token" }
  /** A password: that of the user's revision, or any later one with the same hash. */
  | { kind: "password"; revision: bigint; passwordHash: string }
  /** A user's token. */
  | { kind: "user_token"; tokenHash: string }
  /** A session of a user or of the local admin. */
  | { kind: "session"; session: StoredSession }
  /** The token of a device, or an enrolment token: the principal names it. */
  | { kind: "token" }
>;

/** The caller that a credential stands for. */
export type Verified = Readonly<{
  principal: Principal;
  source: LoginSource;
  /** The user_groups that made the rights of the principal; empty unless it is a user of the store. */
  userGroups: readonly string[];
}>;

/**
 * A credential that was found valid. There is one for all calls and watches that come with the credential while it is
 * known, so that looking at it again is done once, however many watches it opened.
 */
export type Login = {
  /** Keyed digest of the Authorization header; empty: there was none. */
  readonly id: string;
  verified: Verified;
  /** The generation of access (access-generations.ts) in which it was read last. */
  generation: number;
  /** When it was read last, milliseconds on the monotonic clock. */
  readAt: number;
  /**
   * The change feed has named its subject since: it is read before it counts again, also while the store is
   * unreachable.
   */
  isSuspect: boolean;
  /** Set when it was found to be no longer valid. */
  ended: boolean;
};

/**
 * A credential is read again at least this often, milliseconds; while the store is unreachable, a known one stays valid
 * for as long.
 */
export const LONGEST_UNREAD_MS = 60 * 60_000;

/** A login of the configuration, which is never looked up. */
export function configuredLogin(principal: Principal, secret?: "password" | "token"): Login {
  const source: LoginSource = secret === undefined ? { kind: "configured" } : { kind: "configured", secret };
  const verified: Verified = { principal, source, userGroups: [] };
  return { id: "", verified, generation: 0, readAt: 0, isSuspect: false, ended: false };
}

/** Whether the login was read last before access changed. A login of the configuration never is. */
export function isBehind({ generation, isSuspect, verified, ended }: Login, current: number): boolean {
  return (generation !== current || isSuspect) && !ended && verified.source.kind !== "configured";
}

/** The subjects whose change concerns this credential, as the change feed names them. */
export function subjectsOf({ principal, source, userGroups }: Verified): readonly string[] {
  if (source.kind === "configured") return [];
  if (principal.kind === "device") return [`device/${principal.deviceId}`];
  if (principal.kind !== "user") return [];
  const session = source.kind === "session" ? [`session/${source.session.id}`] : [];
  return [`user/${principal.name}`, ...session, ...userGroups.map((group) => `user_group/${group}`)];
}

export type VerifiedCredentialsDeps = Readonly<{
  /** How many credentials are kept. */
  limit: number;
  index: LoginIndex;
  /** The generation of access now. */
  generation: () => number;
  /** How long a session counts without a read, milliseconds. */
  sessionMs: number;
  clock: Pick<Clock, "monotonic" | "now">;
}>;

/** How long a session has to go, milliseconds, 0 or less: it has expired; undefined: the credential is not a session. */
export function sessionLeftMs({ source }: Verified, nowMs: number): number | undefined {
  return source.kind === "session" ? source.session.expiresAt - nowMs : undefined;
}

/**
 * Credentials that were found valid, by the digest of their header.
 *
 * V1 At most `limit` are kept; the one that was used longest ago is removed first.
 * V2 Only what was verified is kept, so guesses cannot push it out.
 * V3 A credential of an earlier generation is still known to have been valid: failed logins of others never hold it up,
 *    and no password is hashed to find out what it stands for now.
 * V4 A credential counts without a read in the generation in which it was read, for LONGEST_UNREAD_MS, until it is
 *    named; a session for `sessionMs`, because its end begins no generation, and no longer than it lasts.
 */
export class VerifiedCredentials {
  readonly #deps: VerifiedCredentialsDeps;
  readonly #logins: BoundedMap<string, Login>;

  constructor(deps: VerifiedCredentialsDeps) {
    this.#deps = deps;
    this.#logins = new BoundedMap(deps.limit, (login) => deps.index.release(login)); // V1
  }

  /** The credential, if it counts without a read. */
  get(id: string): Login | undefined {
    const login = this.#logins.get(id);
    if (login === undefined || isBehind(login, this.#deps.generation()) || !this.isRecent(login) || this.#isOldSession(login)) return undefined; // V4
    return this.#logins.use(id);
  }

  /** The credential as it was found last, whether it counts without a read or not. */
  before(id: string): Login | undefined {
    return this.#logins.get(id);
  }

  /** Whether the login was read within the last LONGEST_UNREAD_MS, and is not a session that has expired. */
  isRecent({ readAt, verified }: Login): boolean {
    const { clock } = this.#deps;
    if ((sessionLeftMs(verified, clock.now()) ?? 1) <= 0) return false;
    return verified.source.kind === "configured" || clock.monotonic() - readAt < LONGEST_UNREAD_MS;
  }

  /** V4: while the store is unreachable it counts all the same. */
  #isOldSession({ readAt, verified }: Login): boolean {
    const { clock, sessionMs } = this.#deps;
    return verified.source.kind === "session" && clock.monotonic() - readAt >= sessionMs;
  }

  add(login: Login): void {
    if (this.#logins.get(login.id) !== login) {
      this.refuse(login.id);
      this.#deps.index.hold(login);
    }
    this.#logins.set(login.id, login);
  }

  /** Removes the credential: it was found invalid, or is replaced. */
  refuse(id: string): void {
    const login = this.#logins.get(id);
    if (login === undefined) return;
    this.#logins.delete(id);
    this.#deps.index.release(login);
  }

  get size(): number {
    return this.#logins.size;
  }
}

/**
 * Logins by the subjects that the change feed names, so that a change of one credential touches its own logins only.
 *
 * X1 A login is in the index while it is held; each hold is released once.
 * X2 A login is found under the subjects of what it stands for now: only `change` replaces that while it is held.
 */
export class LoginIndex {
  /** One login stands for itself: the most subjects are devices, and a device has one login. */
  readonly #bySubject = new Map<string, Login | Set<Login>>();
  readonly #holds = new Map<Login, number>();

  hold(login: Login): void {
    const holds = this.#holds.get(login) ?? 0;
    this.#holds.set(login, holds + 1);
    if (holds === 0) for (const subject of subjectsOf(login.verified)) this.#add(subject, login);
  }

  release(login: Login): void {
    const holds = this.#holds.get(login) ?? 0;
    if (holds > 1) this.#holds.set(login, holds - 1);
    else if (this.#holds.delete(login)) for (const subject of subjectsOf(login.verified)) this.#remove(subject, login);
  }

  /** The login stands for this from now on. */
  change(login: Login, verified: Verified): void {
    const isHeld = this.#holds.has(login);
    if (isHeld) for (const subject of subjectsOf(login.verified)) this.#remove(subject, login);
    login.verified = verified;
    if (isHeld) for (const subject of subjectsOf(verified)) this.#add(subject, login); // X2
  }

  /** The logins that a change of this subject concerns. */
  of(subject: string): readonly Login[] {
    const found = this.#bySubject.get(subject);
    if (found === undefined) return [];
    return found instanceof Set ? [...found] : [found];
  }

  /** Subjects under which there are logins. */
  get size(): number {
    return this.#bySubject.size;
  }

  #add(subject: string, login: Login): void {
    const found = this.#bySubject.get(subject);
    if (found === undefined) this.#bySubject.set(subject, login);
    else if (found instanceof Set) found.add(login);
    else if (found !== login) this.#bySubject.set(subject, new Set([found, login]));
  }

  #remove(subject: string, login: Login): void {
    const found = this.#bySubject.get(subject);
    if (found === login) this.#bySubject.delete(subject);
    if (!(found instanceof Set)) return;
    found.delete(login);
    if (found.size === 0) this.#bySubject.delete(subject);
  }
}
