import { randomBytes } from "node:crypto";
import { fromBinary } from "@bufbuild/protobuf";
import type { WorkFor } from "../../common/access/fair-work.ts";
import { hashPassword, verifyPassword } from "../../common/access/password-hash.ts";
import { tokenHash } from "../../common/access/tokens.ts";
import type { Clock } from "../../common/clock/clock.ts";
import { assertNever } from "../../common/errors/assert-never.ts";
import { messageOf, NebulaError } from "../../common/errors/nebula-error.ts";
import type { ChangeFeed } from "../../common/feed/change-feed.ts";
import type { Log } from "../../common/log/log.ts";
import type { AccessStore, StoredSession, StoredUser } from "../../common/storage/access-store.ts";
import { sharedText } from "../../common/storage/shared-values.ts";
import { UserGroupSchema } from "../../gen/nebula/v1/user_group_pb.ts";
import type { Credential } from "./credentials.ts";
import { tokensOf } from "./credentials.ts";
import { createCredentialReads } from "./limits/credential-reads.ts";
import type { RotatedTokens } from "./limits/rotations.ts";
import { ADMIN_RIGHTS, NO_RIGHTS, type Rights, rightsOf } from "./rights/rights.ts";
import { isSessionToken, type SessionBindings, sessionKey } from "./sessions.ts";
import type { LoginSource, Verified } from "./verified-credentials.ts";

/** Parts that the logins of all devices have in common, held once. */
const TOKEN: LoginSource = { kind: "token" };
const NO_GROUPS: readonly string[] = [];

export type StoredCredentialsDeps = Readonly<{
  accessStore: Pick<AccessStore, "tokenOwner" | "getUser" | "groupsOf" | "rehashPassword" | "deviceByTokenHash" | "promoteNext" | "session">;
  /** The name of the configuration's admin. */
  localAdmin: string;
  sessions: Pick<SessionBindings, "isOfLocalAdmin" | "isOfUser">;
  changeFeed: Pick<ChangeFeed, "publish">;
  rotated: Pick<RotatedTokens, "add">;
  clock: Clock;
  log: Log;
}>;

/**
 * The credentials of the access store. All reject with `unavailable` when it can't be reached or too many reads wait,
 * with `resource_exhausted` when too many passwords wait.
 */
export type StoredCredentials = {
  /**
   * Finds the principal that a credential stands for; undefined: nobody. An unknown user takes as long as a wrong password.
   * @param workFor the caller that a password is hashed for
   * @param signal ends reads of the store; a password that is being hashed is hashed
   */
  verify(credential: Credential, workFor: WorkFor, signal?: AbortSignal): Promise<Verified | undefined>;
  /**
   * Resolves with what a credential that was found valid stands for now; undefined: it is valid no more. No password is
   * hashed for it.
   */
  again(verified: Verified, signal?: AbortSignal): Promise<Verified | undefined>;
  /** The rights of the user of a name now; none where there is no such user. */
  rightsOfUser(name: string, signal?: AbortSignal): Promise<Rights>;
};

export function createStoredCredentials(deps: StoredCredentialsDeps): StoredCredentials {
  const { accessStore, localAdmin, sessions, changeFeed, rotated, clock, log } = deps;
  const reads = createCredentialReads(clock);
  let hashOfNobody: Promise<string> | undefined;

  /** The hash that a password is checked against where there is no user: made once, of a password that nobody knows. */
  async function hashForNobody(): Promise<string> {
    hashOfNobody ??= hashPassword(randomBytes(16).toString("hex"));
    try {
      return await hashOfNobody;
    } catch (error) {
      hashOfNobody = undefined;
      throw error;
    }
  }

  async function grantedTo(name: string, signal: AbortSignal | undefined): Promise<{ rights: Rights; userGroups: readonly string[] }> {
    const groups = await reads((given) => accessStore.groupsOf(name, given), signal);
    return { rights: rightsOf(groups.map(({ body }) => fromBinary(UserGroupSchema, body))), userGroups: groups.map((group) => group.name) };
  }

  async function userOf({ name }: StoredUser, source: Verified["source"], signal: AbortSignal | undefined): Promise<Verified> {
    const { rights, userGroups } = await grantedTo(name, signal);
    return { principal: { kind: "user", name, rights }, source, userGroups };
  }

  async function byPassword(name: string, password: string, workFor: WorkFor, signal: AbortSignal | undefined): Promise<Verified | undefined> {
    const user = await reads((given) => accessStore.getUser(name, given), signal);
    if (user === undefined || user.deleted || user.passwordHash === "") {
      await verifyPassword(password, await hashForNobody(), { workFor });
      return undefined;
    }
    const { ok, outdated } = await verifyPassword(password, user.passwordHash, { workFor });
    if (!ok) return undefined;
    const passwordHash = outdated ? await rehash(user, password) : user.passwordHash;
    return userOf(user, { kind: "password", revision: user.revision, passwordHash }, signal);
  }

  /** A hash that was carried over, or is weaker than today's, is replaced; the login does not depend on it. */
  async function rehash({ name, passwordHash }: StoredUser, password: string): Promise<string> {
    try {
      const after = await hashPassword(password);
      if (await accessStore.rehashPassword(name, passwordHash, after)) return after;
    } catch (error) {
      log.warn({ user: name, error: messageOf(error) }, "a user's password could not be hashed again; the next login tries again");
    }
    return passwordHash;
  }

  async function byToken(sent: string, signal: AbortSignal | undefined): Promise<Verified | undefined> {
    for (const token of tokensOf(sent)) {
      const found = await (isSessionToken(token) ? bySession(sessionKey(token), signal) : ownerOf(tokenHash(token), signal));
      if (found !== undefined) return found;
    }
    return undefined;
  }

  /** The user that a session stands for now; undefined: it has ended, or its credential has. */
  async function bySession(
    { id, tokenHash }: Pick<StoredSession, "id" | "tokenHash">,
    signal: AbortSignal | undefined,
  ): Promise<Verified | undefined> {
    const session = await reads((given) => accessStore.session(id, given), signal);
    if (session === undefined || session.tokenHash !== tokenHash || session.expiresAt <= clock.now()) return undefined;
    const source = { kind: "session", session } as const;
    if (sessions.isOfLocalAdmin(session)) return { principal: { kind: "user", name: localAdmin, rights: ADMIN_RIGHTS }, source, userGroups: [] };
    const user = await reads((given) => accessStore.getUser(session.user, given), signal);
    return user !== undefined && sessions.isOfUser(session, user) ? userOf(user, source, signal) : undefined;
  }

  async function ownerOf(hash: string, signal: AbortSignal | undefined): Promise<Verified | undefined> {
    const owner = await reads((given) => accessStore.tokenOwner(hash, given), signal);
    if (owner === undefined) return undefined;
    switch (owner.kind) {
      case "user":
        return owner.user.deleted ? undefined : userOf(owner.user, { kind: "user_token", tokenHash: hash }, signal);
      case "device": {
        const { deviceId, deviceGroup, isNext } = owner;
        if (isNext && !(await firstUse(hash, deviceId, signal))) return undefined;
        return {
          principal: { kind: "device", deviceId, deviceGroup: sharedText(deviceGroup), tokenHash: hash },
          source: TOKEN,
          userGroups: NO_GROUPS,
        };
      }
      case "enrolment": {
        const { deviceGroup } = owner;
        return { principal: { kind: "enrolment", tokenHash: hash, deviceGroup }, source: TOKEN, userGroups: NO_GROUPS };
      }
      default:
        return assertNever(owner);
    }
  }

  /** The first use of a next token ends the one before; false: it is not valid any more. */
  async function firstUse(hash: string, deviceId: string, signal: AbortSignal | undefined): Promise<boolean> {
    const outcome = await reads(() => accessStore.promoteNext(hash, clock.now())); // a write that is cut has an unknown outcome
    switch (outcome) {
      case "done":
        rotated.add(hash);
        changeFeed.publish({ kind: "access", subject: `device/${deviceId}` }); // the token before has ended
        return true;
      case "absent":
        return (await reads((given) => accessStore.deviceByTokenHash(hash, given), signal))?.tokenHash === hash; // another call was the first, or another token was announced
      case "unknown":
        throw new NebulaError("unavailable", "the access store did not say whether the token of this device is rotated: call again");
      default:
        return assertNever(outcome);
    }
  }

  async function userAgain(name: string, { source }: Verified, signal: AbortSignal | undefined): Promise<Verified | undefined> {
    if (source.kind === "session") return bySession(source.session, signal);
    const user = await reads((given) => accessStore.getUser(name, given), signal);
    if (user === undefined || user.deleted) return undefined;
    switch (source.kind) {
      case "password": {
        const isSame = user.revision === source.revision || user.passwordHash === source.passwordHash; // a new hash of the same password makes no new revision
        return isSame ? userOf(user, { kind: "password", revision: user.revision, passwordHash: user.passwordHash }, signal) : undefined;
      }
      case "user_token":
        return user.tokenHash === source.tokenHash ? userOf(user, source, signal) : undefined;
      case "token":
      case "configured":
        return undefined;
      default:
        return assertNever(source);
    }
  }

  return {
    async verify(credential, workFor, signal) {
      switch (credential.kind) {
        case "basic":
          return byPassword(credential.user, credential.password, workFor, signal);
        case "bearer":
          return byToken(credential.token, signal);
        case "none":
        case "unreadable":
          return undefined;
        default:
          return assertNever(credential);
      }
    },

    async again(verified, signal) {
      const { principal, source } = verified;
      if (source.kind === "configured") return verified;
      switch (principal.kind) {
        case "user":
          return userAgain(principal.name, verified, signal);
        case "device":
        case "enrolment":
          return sameKind(principal, await ownerOf(principal.tokenHash, signal));
        case "part":
          return verified;
        default:
          return assertNever(principal);
      }
    },

    async rightsOfUser(name, signal) {
      const user = await reads((given) => accessStore.getUser(name, given), signal);
      return user === undefined || user.deleted ? NO_RIGHTS : (await grantedTo(name, signal)).rights;
    },
  };
}

/** A hash that was free for a while may be the token of another kind of owner. */
function sameKind({ kind }: Verified["principal"], found: Verified | undefined): Verified | undefined {
  return found?.principal.kind === kind ? found : undefined;
}
