import { randomBytes } from "node:crypto";
import { fromBinary } from "@bufbuild/protobuf";
import type { WorkFor } from "../../common/access/fair-work.ts";
import { hashPassword, verifyPassword } from "../../common/access/password-hash.ts";
import { tokenHash } from "../../common/access/tokens.ts";
import type { Clock } from "../../common/clock/clock.ts";
import { assertNever } from "../../common/errors/assert-never.ts";
import { messageOf } from "../../common/errors/nebula-error.ts";
import type { ChangeFeed } from "../../common/feed/change-feed.ts";
import type { Log } from "../../common/log/log.ts";
import type { AccessStore, StoredUser } from "../../common/storage/access-store.ts";
import { UserGroupSchema } from "../../gen/nebula/v1/user_group_pb.ts";
import type { Credential } from "./credential-header.ts";
import type { Verified } from "./login.ts";
import { tokensOf } from "./presented-token.ts";
import { NO_RIGHTS, type Rights, rightsOf } from "./rights.ts";

export type StoredCredentialsDeps = Readonly<{
  accessStore: Pick<
    AccessStore,
    "getUser" | "userByTokenHash" | "groupsOf" | "rehashPassword" | "deviceByTokenHash" | "enrolmentByTokenHash" | "promoteNext"
  >;
  changeFeed: Pick<ChangeFeed, "publish">;
  clock: Clock;
  log: Log;
}>;

/** The credentials of the access store. Both reject with `unavailable` when it can't be reached, with `resource_exhausted` when too many passwords wait. */
export type StoredCredentials = {
  /**
   * Who a credential stands for; undefined: nobody. An unknown user takes as long as a wrong password.
   * @param workFor the caller that a password is hashed for
   */
  verify(credential: Credential, workFor: WorkFor): Promise<Verified | undefined>;
  /** What a credential that was found valid stands for now; undefined: it is valid no more. No password is hashed for it. */
  again(verified: Verified): Promise<Verified | undefined>;
  /** What the user of a name may do now; nothing, where there is no such user. */
  rightsOfUser(name: string): Promise<Rights>;
};

export function createStoredCredentials({ accessStore, changeFeed, clock, log }: StoredCredentialsDeps): StoredCredentials {
  let hashOfNobody: Promise<string> | undefined;

  /** What a password is checked against where there is no user: made once, of a password that nobody knows. */
  async function hashForNobody(): Promise<string> {
    hashOfNobody ??= hashPassword(randomBytes(16).toString("hex"));
    try {
      return await hashOfNobody;
    } catch (error) {
      hashOfNobody = undefined;
      throw error;
    }
  }

  async function grantedTo(name: string): Promise<{ rights: Rights; userGroups: readonly string[] }> {
    const groups = await accessStore.groupsOf(name);
    return { rights: rightsOf(groups.map(({ body }) => fromBinary(UserGroupSchema, body))), userGroups: groups.map((group) => group.name) };
  }

  async function userOf({ name }: StoredUser, source: Verified["source"]): Promise<Verified> {
    const { rights, userGroups } = await grantedTo(name);
    return { principal: { kind: "user", name, rights }, source, userGroups };
  }

  async function byPassword(name: string, password: string, workFor: WorkFor): Promise<Verified | undefined> {
    const user = await accessStore.getUser(name);
    if (user === undefined || user.deleted || user.passwordHash === "") {
      await verifyPassword(password, await hashForNobody(), { workFor });
      return undefined;
    }
    const { ok, outdated } = await verifyPassword(password, user.passwordHash, { workFor });
    if (!ok) return undefined;
    const passwordHash = outdated ? await rehash(user, password) : user.passwordHash;
    return userOf(user, { kind: "password", revision: user.revision, passwordHash });
  }

  /** A hash that was carried over, or is weaker than today's, is replaced; the login does not depend on it. */
  async function rehash({ name, passwordHash }: StoredUser, password: string): Promise<string> {
    try {
      const after = await hashPassword(password);
      if (await accessStore.rehashPassword(name, passwordHash, after)) return after;
    } catch (error) {
      log.warn({ user: name, error: messageOf(error) }, "a user's password could not be hashed anew; the next login tries again");
    }
    return passwordHash;
  }

  async function byToken(sent: string): Promise<Verified | undefined> {
    for (const token of tokensOf(sent)) {
      const hash = tokenHash(token);
      const found = (await deviceOf(hash)) ?? (await userByToken(hash)) ?? (await enrolmentOf(hash)); // devices first: they are the most
      if (found !== undefined) return found;
    }
    return undefined;
  }

  async function deviceOf(hash: string): Promise<Verified | undefined> {
    let device = await accessStore.deviceByTokenHash(hash);
    if (device !== undefined && device.nextHash === hash) {
      if (await accessStore.promoteNext(hash, clock.now())) {
        await changeFeed.publish({ kind: "access", subject: `device/${device.deviceId}` }); // the token before has ended
      } else {
        device = await accessStore.deviceByTokenHash(hash);
        if (device?.tokenHash !== hash) return undefined; // another one was announced since
      }
    }
    if (device === undefined) return undefined;
    const { deviceId, deviceGroup } = device;
    return { principal: { kind: "device", deviceId, deviceGroup, tokenHash: hash }, source: { kind: "token" }, userGroups: [] };
  }

  async function userByToken(hash: string): Promise<Verified | undefined> {
    const user = await accessStore.userByTokenHash(hash);
    return user === undefined || user.deleted ? undefined : userOf(user, { kind: "user_token", tokenHash: hash });
  }

  async function enrolmentOf(hash: string): Promise<Verified | undefined> {
    const enrolment = await accessStore.enrolmentByTokenHash(hash);
    if (enrolment === undefined) return undefined;
    const { deviceGroup } = enrolment;
    return { principal: { kind: "enrolment", tokenHash: hash, deviceGroup }, source: { kind: "token" }, userGroups: [] };
  }

  async function userAgain(name: string, { source }: Verified): Promise<Verified | undefined> {
    const user = await accessStore.getUser(name);
    if (user === undefined || user.deleted) return undefined;
    switch (source.kind) {
      case "password": {
        const isSame = user.revision === source.revision || user.passwordHash === source.passwordHash; // a new hash of the same password is no new revision
        return isSame ? userOf(user, { kind: "password", revision: user.revision, passwordHash: user.passwordHash }) : undefined;
      }
      case "user_token":
        return user.tokenHash === source.tokenHash ? userOf(user, source) : undefined;
      case "token":
      case "configured":
        return undefined;
      default:
        return assertNever(source);
    }
  }

  return {
    async verify(credential, workFor) {
      switch (credential.kind) {
        case "basic":
          return byPassword(credential.user, credential.password, workFor);
        case "bearer":
          return byToken(credential.token);
        case "none":
        case "unreadable":
          return undefined;
        default:
          return assertNever(credential);
      }
    },

    async again(verified) {
      const { principal, source } = verified;
      if (source.kind === "configured") return verified;
      switch (principal.kind) {
        case "user":
          return userAgain(principal.name, verified);
        case "device":
          return deviceOf(principal.tokenHash);
        case "enrolment":
          return enrolmentOf(principal.tokenHash);
        case "part":
          return verified;
        default:
          return assertNever(principal);
      }
    },

    async rightsOfUser(name) {
      const user = await accessStore.getUser(name);
      return user === undefined || user.deleted ? NO_RIGHTS : (await grantedTo(name)).rights;
    },
  };
}
