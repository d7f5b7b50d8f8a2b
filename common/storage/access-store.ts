import type { AuditEntry } from "../../gen/nebula/v1/audit_pb.ts";
import { assertNever } from "../errors/assert-never.ts";
import type { WriteOutcome } from "./config-store.ts";
import type { Movable } from "./movable.ts";
import type { Page, PageRequest } from "./page.ts";

/** The last change of a record. */
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

/** An enrolment token, with which devices enrol; stored as its SHA-256. */
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

/** A session: a login that lasts for hours, made with another credential of its user. */
export type StoredSession = Readonly<{
  /** 16 hexadecimal digits. */
  id: string;
  /** SHA-256 of the token, 64 hexadecimal digits. */
  tokenHash: string;
  user: string;
  /** The credential that the session ends with, as manager/access/sessions.ts writes it. */
  boundTo: string;
  /** The address that it was made from. */
  madeFrom: string;
  /** Milliseconds since 1970. */
  createdAt: number;
  expiresAt: number;
}>;

/** The detail that an entry of the audit log has of a session that a newer one of its user ended. */
export const ENDED_AS_OLDEST = "ended as the oldest of its user";

/** `ended`: the ids of the sessions that were the oldest of their user, beyond the number that it may have. */
export type CreateSessionOutcome = Readonly<{ kind: "done"; ended: readonly string[] } | { kind: "unknown" }>;

/** A record as one store hands it to another. Sessions are left out: after a move users log in again. Of an audit entry its id is the key. */
export type AccessRecord = Readonly<
  | { kind: "user"; user: StoredUser }
  | { kind: "user_group"; userGroup: StoredUserGroup }
  | { kind: "enrolment"; enrolment: StoredEnrolment }
  | { kind: "device"; device: StoredDeviceToken }
  | { kind: "audit"; entry: AuditEntry }
>;

/** The name or the id of a record, within its kind. */
export function recordKey(record: AccessRecord): string {
  switch (record.kind) {
    case "user":
      return record.user.name;
    case "user_group":
      return record.userGroup.name;
    case "enrolment":
      return record.enrolment.id;
    case "device":
      return record.device.deviceId;
    case "audit":
      return record.entry.id;
    default:
      return assertNever(record);
  }
}

/** The owner of a token, as one read by the hash of the token finds it. */
export type TokenOwner = Readonly<
  | { kind: "user"; user: StoredUser }
  /** `isNext`: the token was announced and not used yet; `promoteNext` says whether it still counts. */
  | { kind: "device"; deviceId: string; deviceGroup: string; isNext: boolean }
  | { kind: "enrolment"; id: string; deviceGroup: string }
>;

/** `absent`: there was nothing to change. `unknown`: the same call may be repeated, and continues where it was cut. */
export type ChangeOutcome = "done" | "absent" | "unknown";

/** The outcome of an enrolment. */
export type EnrolOutcome = Readonly<
  /** The device has this token now, or had it already. */
  | { kind: "enrolled"; deviceGroup: string; again: boolean }
  /** The device has another token. */
  | { kind: "other_token" }
  /** Another device has a token with this hash. */
  | { kind: "hash_taken" }
  /** The enrolment token is not known, was revoked, is used up, or has expired. */
  | { kind: "not_valid"; why: "unknown" | "used_up" | "expired" }
  /** The device may have the token or not; a repeated call uses nothing up. */
  | { kind: "unknown" }
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

/** The access stamp, and the owners of tokens. */
export interface TokenOwners {
  /** A1: a value that differs after every change of a user or user_group, and after every revocation. */
  stamp(signal?: AbortSignal): Promise<string>;
  /**
   * The owner of the token with this hash; undefined if absent. Reads one row, and the record of a user besides.
   */
  tokenOwner(tokenHash: string, signal?: AbortSignal): Promise<TokenOwner | undefined>;
}

export interface UserRecords {
  /** The newest revision, tombstones included; undefined: the name was never used. */
  getUser(name: string, signal?: AbortSignal): Promise<StoredUser | undefined>;
  userByTokenHash(tokenHash: string, signal?: AbortSignal): Promise<StoredUser | undefined>;
  /** Users that are not deleted and whose names differ from this one in case alone, sorted, at most 10. */
  usersInOtherCase(name: string, signal?: AbortSignal): Promise<readonly string[]>;
  /** Users that are not deleted, by name. */
  listUsers(page: PageRequest, signal?: AbortSignal): Promise<Page<StoredUser>>;
  /**
   * Writes if `expected` is the stored revision (0n: never used). Rejects with `already_exists` if the hash of the token
   * has another owner (A3).
   */
  writeUser(write: UserWrite, signal?: AbortSignal): Promise<WriteOutcome>;
  /**
   * Replaces the stored hash of a password by another hash of the same password, if it is still `before`: no change of
   * the user, no new stamp or revision. False: it is not known to be replaced.
   */
  rehashPassword(name: string, before: string, after: string, signal?: AbortSignal): Promise<boolean>;
}

export interface UserGroupRecords {
  getUserGroup(name: string, signal?: AbortSignal): Promise<StoredUserGroup | undefined>;
  /** As usersInOtherCase, of user_groups. */
  userGroupsInOtherCase(name: string, signal?: AbortSignal): Promise<readonly string[]>;
  listUserGroups(page: PageRequest, signal?: AbortSignal): Promise<Page<StoredUserGroup>>;
  writeUserGroup(write: UserGroupWrite, signal?: AbortSignal): Promise<WriteOutcome>;
  /** The user_groups that name this user and are not deleted, by name. */
  groupsOf(user: string, signal?: AbortSignal): Promise<readonly StoredUserGroup[]>;
  /** Their names alone, in order: bodies are large. */
  groupNamesOf(user: string, signal?: AbortSignal): Promise<readonly string[]>;
}

/** Enrolment tokens, and the enrolment of devices. */
export interface EnrolmentTokens {
  /**
   * Rejects with `already_exists` where the id or the hash is used; the same call again may succeed, and changes
   * nothing.
   */
  createEnrolment(enrolment: StoredEnrolment, signal?: AbortSignal): Promise<"done" | "unknown">;
  enrolmentByTokenHash(tokenHash: string, signal?: AbortSignal): Promise<StoredEnrolment | undefined>;
  /** By its id, also one that is used up or has expired. */
  enrolment(id: string, signal?: AbortSignal): Promise<StoredEnrolment | undefined>;
  /** Those that are valid at `nowMs`, newest first. */
  listEnrolments(filter: { deviceGroup?: string; nowMs: number }, page: PageRequest, signal?: AbortSignal): Promise<Page<StoredEnrolment>>;
  /** Ends one. */
  revokeEnrolment(id: string, signal?: AbortSignal): Promise<ChangeOutcome>;
  /**
   * A4: admits a device with the enrolment token of that hash. A (device, hash) that was admitted is answered "again",
   * also when the enrolment token has ended since.
   */
  enrol(device: { deviceId: string; tokenHash: string; enrolmentHash: string; nowMs: number }, signal?: AbortSignal): Promise<EnrolOutcome>;
}

/** The tokens of devices, and their rotation. */
export interface DeviceTokens {
  /** The device whose token in use, or whose next one, has this hash. */
  deviceByTokenHash(tokenHash: string, signal?: AbortSignal): Promise<StoredDeviceToken | undefined>;
  deviceToken(deviceId: string, signal?: AbortSignal): Promise<StoredDeviceToken | undefined>;
  /** Group by group, in each by device_id. */
  listDeviceTokens(filter: { deviceGroup?: string }, page: PageRequest, signal?: AbortSignal): Promise<Page<StoredDeviceToken>>;
  /**
   * Announces the next token of the device whose token in use has the hash `current`; one announced before and not used
   * is forgotten. `absent`: no device has that token in use. Rejects with `already_exists` if the hash has another owner
   * (A3).
   */
  announceNext(current: string, next: string, signal?: AbortSignal): Promise<ChangeOutcome>;
  /**
   * First use of the next token: it is the one in use, the one before has ended. `absent`: it is not a next token any
   * more.
   */
  promoteNext(next: string, nowMs: number, signal?: AbortSignal): Promise<ChangeOutcome>;
  /** Ends the token of the device. */
  revokeDeviceToken(deviceId: string, signal?: AbortSignal): Promise<ChangeOutcome>;
}

/** Sessions of users. A session is found by its id, which is a part of the hash of its token: one read. */
export interface SessionTokens {
  /**
   * Stores a session, and ends the oldest of its user beyond `most`, this one never. Rejects with `already_exists` where
   * the id is used; the same call again may succeed, and changes nothing.
   */
  createSession(session: StoredSession, most: number, signal?: AbortSignal): Promise<CreateSessionOutcome>;
  /** Also one that has expired, until it is removed. */
  session(id: string, signal?: AbortSignal): Promise<StoredSession | undefined>;
  /** Those that have not expired at `nowMs`, newest first. */
  listSessions(filter: { user?: string; nowMs: number }, page: PageRequest, signal?: AbortSignal): Promise<Page<StoredSession>>;
  /** Ends one. */
  deleteSession(id: string, signal?: AbortSignal): Promise<ChangeOutcome>;
  /**
   * Removes sessions that have expired before then, milliseconds since 1970, a bounded number per call; answers how many.
   * A store with a TTL of its own answers 0.
   */
  expireSessions(beforeMs: number, signal?: AbortSignal): Promise<number>;
}

export interface AuditLog {
  /**
   * Appends entries; their ids are given by the store, and have the order of the list: by time, those of one
   * millisecond as this process appended them.
   */
  appendAudit(entries: readonly AuditEntry[], signal?: AbortSignal): Promise<void>;
  /** Newest first. A page with a filter may be short, or empty, and still have a next one. */
  listAudit(filter: AuditFilter, page: PageRequest, signal?: AbortSignal): Promise<Page<AuditEntry>>;
  /**
   * Deletes entries from before then, milliseconds since 1970, a bounded number per call; answers how many. A store
   * with a TTL of its own answers 0.
   */
  expireAudit(beforeMs: number, signal?: AbortSignal): Promise<number>;
}

/**
 * Users, user_groups, tokens and the audit log. Every lookup of a token is one read by its key, of any number of users
 * and devices. A method whose signal is aborted rejects with its reason; a change that was sent by then answers
 * `unknown`. Without a signal the limit of the driver applies. All methods reject with NebulaError `unavailable` when
 * the backend is unreachable.
 *
 * A1 Every change of a user or user_group and every revocation renews the access stamp at least once, after the change.
 *    An enrolment, an announced token, a session and its end, and the end of a rotated token do not: any user makes and
 *    ends sessions. A repeated revocation renews it again, even if the token is gone.
 * A2 The revision of a user or user_group never falls and is never given twice.
 * A3 A token hash belongs to at most one user, device or enrolment token.
 * A4 An enrolment token admits at most its number of uses, however many calls arrive at once. The same (device, hash)
 *    again uses nothing up.
 */
export interface AccessStore
  extends TokenOwners,
    UserRecords,
    UserGroupRecords,
    EnrolmentTokens,
    DeviceTokens,
    SessionTokens,
    AuditLog,
    AsyncDisposable {
  readonly records: Movable<AccessRecord>;
}
