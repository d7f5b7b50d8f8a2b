import { create, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { hashPassword } from "../../common/access/password-hash.ts";
import { newToken, tokenHash } from "../../common/access/tokens.ts";
import type { AccessStore } from "../../common/storage/access-store.ts";
import { UserGroupSchema } from "../../gen/nebula/v1/user_group_pb.ts";
import { createPageSeal, createVisiblePages } from "../access/rights/visible-pages.ts";

/** Pages of what a caller may see, as a manager makes them. */
export const TEST_PAGES = createVisiblePages(createPageSeal("cluster key of a test"));

type Permissions = Omit<Exclude<MessageInitShape<typeof UserGroupSchema>, { $typeName: string }>, "name" | "groupMembers">;

const BY_TEST = { deleted: false, changedAt: 0, changedBy: "test" };

/** The header of a call with a user's password. */
export function basic(user: string, password: string): { authorization: string } {
  return { authorization: `Basic ${Buffer.from(`${user}:${password}`).toString("base64")}` };
}

/** The header of a call with a token. */
export function bearer(token: string): { authorization: string } {
  return { authorization: `Bearer ${token}` };
}

/** Puts a user into the store, with a token or a password, and a user_group of the same name that grants what is given. */
export async function putTestUser(
  store: AccessStore,
  name: string,
  { password, passwordHash, token, ...permissions }: Permissions & { password?: string; passwordHash?: string; token?: string },
): Promise<void> {
  const expected = (await store.getUser(name))?.revision ?? 0n;
  const outcome = await store.writeUser({
    ...BY_TEST,
    name,
    expected,
    revision: expected + 1n,
    passwordHash: passwordHash ?? (password === undefined ? "" : await hashPassword(password)),
    tokenHash: token === undefined ? "" : tokenHash(token),
  });
  if (outcome.kind !== "written") throw new Error(`user ${name}: ${outcome.kind}`);
  await putTestUserGroup(store, name, [name], permissions);
}

/** Puts a user_group into the store, or changes it. */
export async function putTestUserGroup(store: AccessStore, name: string, members: readonly string[], permissions: Permissions): Promise<void> {
  const expected = (await store.getUserGroup(name))?.revision ?? 0n;
  const body = toBinary(UserGroupSchema, create(UserGroupSchema, { ...permissions, name, groupMembers: [...members] }));
  const outcome = await store.writeUserGroup({ ...BY_TEST, name, body, members, expected, revision: expected + 1n });
  if (outcome.kind !== "written") throw new Error(`user_group ${name}: ${outcome.kind}`);
}

/** Makes an enrolment token, as the local admin, and answers it. */
export async function putTestEnrolment(store: AccessStore, deviceGroup: string, usesLeft = 1): Promise<string> {
  const token = newToken();
  const times = { usesLeft, expiresAt: Date.now() + 3_600_000, createdAt: Date.now(), createdBy: "admin" };
  await store.createEnrolment({ id: tokenHash(token).slice(0, 16), tokenHash: tokenHash(token), deviceGroup, ...times });
  return token;
}

/** Takes a device in, and answers its token. */
export async function putTestDevice(store: AccessStore, deviceId: string, deviceGroup: string): Promise<string> {
  const token = newToken();
  const enrolmentHash = tokenHash(await putTestEnrolment(store, deviceGroup));
  const outcome = await store.enrol({ deviceId, tokenHash: tokenHash(token), enrolmentHash, nowMs: Date.now() });
  if (outcome.kind !== "enrolled") throw new Error(`${deviceId}: ${outcome.kind}`);
  return token;
}

/** Enrols devices `d0`, `d1`, ... with one enrolment token, and answers their tokens. */
export async function putTestDevices(
  store: AccessStore,
  count: number,
  deviceGroup: string,
): Promise<readonly { deviceId: string; token: string }[]> {
  const enrolmentHash = tokenHash(await putTestEnrolment(store, deviceGroup, count));
  const devices = Array.from({ length: count }, (_, index) => ({ deviceId: `d${index}`, token: newToken() }));
  for (const { deviceId, token } of devices) {
    const outcome = await store.enrol({ deviceId, tokenHash: tokenHash(token), enrolmentHash, nowMs: Date.now() });
    if (outcome.kind !== "enrolled") throw new Error(`${deviceId}: ${outcome.kind}`);
  }
  return devices;
}
