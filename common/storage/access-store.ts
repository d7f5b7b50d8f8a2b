import type { AuditEntry } from "../../gen/nebula/v1/audit_pb.ts";
import type { Page, WriteOutcome } from "./config-store.ts";
import type { PageRequest } from "./report-store.ts";

/** Who and what was changed last. */
export type ChangedBy = Readonly<{
  /** Milliseconds since 1970, by the clock of the manager that wrote it. */
  changedAt: number;
  /** The user whose credential made the change. */
  changedBy: string;
}>;

/** A user at its newest revision; a deleted one is a tombstone, so that a revision is never given twice. */
export type StoredUser = ChangedBy &
  Readonly<{
    name: string;
    revision: bigint;
    deleted: boolean;
    /** $argon2id$... or $2b$... (bcrypt, carried over); empty: none. */
    passwordHash: string;
    /** SHA-256 of the token, 64 hexadecimal digits; empty: none. No two users have the same. */
    tokenHash: string;
  }>;

/** A user_group at its newest revision; a deleted one is a tombstone. */
export type StoredUserGroup = ChangedBy &
  Readonly<{
    name: string;
    revision: bigint;
    deleted: boolean;
    /** The encoded UserGroup. */
    body: Uint8Array;
    /** Its members: what groupsOf looks up. Of a tombstone: none. */
    members: readonly string[];
  }>;

export type UserWrite = StoredUser & Readonly<{ expected: bigint }>;
export type UserGroupWrite = StoredUserGroup & Readonly<{ expected: bigint }>;

/** A token with which devices come in, by the SHA-256 of it. */
export type StoredEnrolment = Readonly<{
  /** 16 hexadecimal digits. */
  id: string;
  /** SHA-256 of the token, 64 hexadecimal digits. */
  tokenHash: string;
  deviceGroup: string;
  usesLeft: number;
  /** Milliseconds since 1970. */
  expiresAt: number;
  createdAt: number;
  createdBy: string;
}>;

/** A device's token. */
export type StoredDeviceToken = Readonly<{
  deviceId: string;
  deviceGroup: string;
  /** SHA-256 of the token in use, 64 hexadecimal digits. */
  tokenHash: string;
  /** SHA-256 of the next one, announced and not used yet; empty: none. */
  nextHash: string;
  enrolmentId: string;
  /** Milliseconds since 1970. */
  enrolledAt: number;
  /** Milliseconds since 1970; 0: never. */
  rotatedAt: number;
}>;

/** What an enrolment came to. */
export type EnrolOutcome = Readonly<
  /** The device has this token now, or had it already. */
  | { kind: "enrolled"; deviceGroup: string; again: boolean }
  /** The device has another token. */
  | { kind: "other_token" }
  /** Another device has a token with this hash. */
  | { kind: "hash_taken" }
  /** The enrolment token is not known, was revoked, is used up, or has expired. */
  | { kind: "not_valid"; why: "unknown" | "used_up" | "expired" }
>;

export type AuditFilter = Readonly<{
  who?: string;
  kind?: string;
  name?: string;
  outcome?: string;
  /** Milliseconds since 1970: from then on, and before then. */
  fromMs?: number;
  untilMs?: number;
}>;

/**
 * Users, user_groups, tokens and the audit log. Every lookup of a credential is one read by its key, however many users and devices there are.
 * All methods reject with NebulaError `unavailable` when the store cannot be reached; a write whose outcome is not known says "outcome unknown".
 *
 * A1 The access stamp is renewed, in one with it, by every change of a user or user_group, every revocation and the end of a rotated token; not by an
 *    enrolment, nor by what adds a token. Equal stamps: every credential that was valid is valid still, with the same rights.
 * A2 A user's or a user_group's revision never falls and is never given twice.
 * A3 A token hash belongs to one user, device or enrolment token at most.
 * A4 An enrolment token lets at most its number of uses in, whatever calls come at once; the same (device, hash) again uses nothing up.
 */
export interface AccessStore extends AsyncDisposable {
  /** A1: a value that differs after every change of what a credential may do. */
  stamp(): Promise<string>;

  /** The newest revision, tombstones included; undefined: the name was never used. */
  getUser(name: string): Promise<StoredUser | undefined>;
  userByTokenHash(tokenHash: string): Promise<StoredUser | undefined>;
  /** Users that are not deleted and whose names differ from this one in case alone, sorted, at most 10. */
  usersInOtherCase(name: string): Promise<readonly string[]>;
  /** Users that are not deleted, by name. */
  listUsers(page: PageRequest): Promise<Page<StoredUser>>;
  /** Writes if `expected` is the stored revision (0n: never used). Rejects with `already_exists` where the token's hash is another's (A3). */
  writeUser(write: UserWrite): Promise<WriteOutcome>;
  /** Puts another hash of the same password in place of the one that is stored, if that is still stored: no change of the user, no new stamp or revision. */
  rehashPassword(name: string, before: string, after: string): Promise<boolean>;

  getUserGroup(name: string): Promise<StoredUserGroup | undefined>;
  /** As usersInOtherCase, of user_groups. */
  userGroupsInOtherCase(name: string): Promise<readonly string[]>;
  listUserGroups(page: PageRequest): Promise<Page<StoredUserGroup>>;
  writeUserGroup(write: UserGroupWrite): Promise<WriteOutcome>;
  /** The user_groups that name this user and are not deleted, by name. */
  groupsOf(user: string): Promise<readonly StoredUserGroup[]>;

  createEnrolment(enrolment: StoredEnrolment): Promise<void>;
  enrolmentByTokenHash(tokenHash: string): Promise<StoredEnrolment | undefined>;
  /** By its id, also one that is used up or has expired. */
  enrolment(id: string): Promise<StoredEnrolment | undefined>;
  /** Those that are valid at `nowMs`, newest first. */
  listEnrolments(filter: { deviceGroup?: string; nowMs: number }, page: PageRequest): Promise<Page<StoredEnrolment>>;
  /** Ends one; false: there was none. */
  revokeEnrolment(id: string): Promise<boolean>;
  /** A4: takes a device in with the enrolment token of that hash. A (device, hash) that is in already is answered "again", also when the enrolment token has ended since. */
  enrol(device: { deviceId: string; tokenHash: string; enrolmentHash: string; nowMs: number }): Promise<EnrolOutcome>;

  /** The device whose token in use, or whose next one, has this hash. */
  deviceByTokenHash(tokenHash: string): Promise<StoredDeviceToken | undefined>;
  deviceToken(deviceId: string): Promise<StoredDeviceToken | undefined>;
  /** By device_id. */
  listDeviceTokens(filter: { deviceGroup?: string }, page: PageRequest): Promise<Page<StoredDeviceToken>>;
  /** Announces the next token of the device whose token in use has the hash `current`; one announced before and not used is forgotten. False: no device has that token in use. Rejects with `already_exists` where the hash is another's (A3). */
  announceNext(current: string, next: string): Promise<boolean>;
  /** First use of the next token: it is the one in use, the one before has ended. False: it is nobody's next token any more. */
  promoteNext(next: string, nowMs: number): Promise<boolean>;
  /** Ends the device's token; false: it had none. */
  revokeDeviceToken(deviceId: string): Promise<boolean>;

  /** Appends entries; their ids are given by the store, and have the order of the list: by time, those of one millisecond as they were appended. */
  appendAudit(entries: readonly AuditEntry[]): Promise<void>;
  /** Newest first. */
  listAudit(filter: AuditFilter, page: PageRequest): Promise<Page<AuditEntry>>;
  /** Deletes entries from before then, milliseconds since 1970, a bounded number per call; answers how many. A store with a TTL of its own answers 0. */
  expireAudit(beforeMs: number): Promise<number>;
}
