import { hash, randomBytes } from "node:crypto";
import type { AccessStore, StoredEnrolment, StoredSession, UserGroupWrite, UserWrite } from "../access-store.ts";

/** The time of the samples, milliseconds since 1970. */
export const NOW_MS = 1_700_000_000_000;

/** As tokens are stored. */
export function hashOf(token: string): string {
  return hash("sha256", token);
}

/** A write of a user, with a token of its own, that takes it from `expected` to the next revision. */
export function userWrite(name: string, expected: bigint, more: Partial<UserWrite> = {}): UserWrite {
  return {
    name,
    expected,
    revision: expected + 1n,
    deleted: false,
    passwordHash: `$argon2id$of-${name}`,
    tokenHash: hashOf(`token of ${name}`),
    changedAt: NOW_MS + Number(expected),
    changedBy: "admin",
    ...more,
  };
}

export function groupWrite(name: string, expected: bigint, more: Partial<UserGroupWrite> = {}): UserGroupWrite {
  return {
    name,
    expected,
    revision: expected + 1n,
    deleted: false,
    body: Buffer.from(`${name}@${expected + 1n}`),
    members: [],
    changedAt: NOW_MS + Number(expected),
    changedBy: "admin",
    ...more,
  };
}

/** An enrolment token into `shops`, for one device, valid for a day. */
export function enrolment(id: string, more: Partial<StoredEnrolment> = {}): StoredEnrolment {
  return {
    id,
    tokenHash: hashOf(`enrolment token ${id}`),
    deviceGroup: "shops",
    usesLeft: 1,
    expiresAt: NOW_MS + 86_400_000,
    createdAt: NOW_MS,
    createdBy: "admin",
    ...more,
  };
}

export type EnrolCall = Parameters<AccessStore["enrol"]>[0];

/** A device that comes in with the enrolment token `e1` and a token of its own. */
export function device(deviceId: string, more: Partial<EnrolCall> = {}): EnrolCall {
  return { deviceId, tokenHash: hashOf(`token of ${deviceId}`), enrolmentHash: enrolment("e1").tokenHash, nowMs: NOW_MS, ...more };
}

/** A session of `ann`, valid for 12 hours. */
export function session(id: string, more: Partial<StoredSession> = {}): StoredSession {
  return {
    id,
    tokenHash: hashOf(`token of session ${id}`),
    user: "ann",
    boundTo: "user_password 1 of-ann",
    madeFrom: "192.0.2.7",
    createdAt: NOW_MS,
    expiresAt: NOW_MS + 12 * 3_600_000,
    ...more,
  };
}

/**
 * Names that no other test of a shared store uses: the same name for the same word, and whether a name is one of them.
 */
export type FreshNames = { (word: string): string; isOwn(name: string): boolean };

export function freshNames(): FreshNames {
  const tag = `-${randomBytes(6).toString("hex")}`;
  return Object.assign((word: string) => word + tag, { isOwn: (name: string) => name.endsWith(tag) });
}

/**
 * The samples under fresh names, tokens included. Devices come with the enrolment token `e1` unless the test says
 * otherwise.
 */
export function freshSamples() {
  const n = freshNames();
  const samples = {
    n,
    hashOf: (token: string) => hashOf(n(token)),
    userWrite: (name: string, expected: bigint, more: Partial<UserWrite> = {}) => userWrite(n(name), expected, more),
    groupWrite: (name: string, expected: bigint, more: Partial<UserGroupWrite> = {}) =>
      groupWrite(n(name), expected, { ...more, members: (more.members ?? []).map(n) }),
    enrolment: (id: string, more: Partial<StoredEnrolment> = {}) =>
      enrolment(samples.hashOf(id).slice(0, 16), { ...more, deviceGroup: n(more.deviceGroup ?? "shops") }),
    session: (id: string, more: Partial<StoredSession> = {}) =>
      session(samples.hashOf(`session ${id}`).slice(0, 16), { ...more, user: n(more.user ?? "ann") }),
    device: (deviceId: string, more: Partial<EnrolCall> = {}) => device(n(deviceId), { enrolmentHash: samples.enrolment("e1").tokenHash, ...more }),
  };
  return samples;
}
