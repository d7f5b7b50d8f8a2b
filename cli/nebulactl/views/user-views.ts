import type { JsonObject } from "@bufbuild/protobuf";
import { timestampDate } from "@bufbuild/protobuf/wkt";
import { membershipsText, passwordText, tokenText } from "../../../common/insight/text/access-text.ts";
import { jsonNumber } from "../../../common/resources/resource-fields.ts";
import { ageOf } from "../../../common/text/age.ts";
import type { Change } from "../../../gen/nebula/v1/change_pb.ts";
import type { GetUserResponse, ListUsersResponse, User, UserMemberships } from "../../../gen/nebula/v1/user_pb.ts";
import type { ListView } from "../output/print-list.ts";
import { fieldsText, type ValueView } from "../output/render-value.ts";

/** A user of a list. An older server says neither its user_groups nor its change: undefined. */
export type ListedUser = Readonly<{ user: User; memberships: UserMemberships | undefined; lastChange: Change | undefined }>;

/** The users of a page, each with its user_groups and its change. */
export function listedUsers({ users, memberships, lastChanges }: ListUsersResponse): readonly ListedUser[] {
  return users.map((user, index) => ({ user, memberships: memberships[index], lastChange: lastChanges[index] }));
}

/** A list of users: how each may log in, without the hashes. @param now wall clock, milliseconds since 1970 */
export function userList(now: number): ListView<ListedUser> {
  return {
    plural: "users",
    header: ["USER", "REVISION", "PASSWORD", "TOKEN", "USER_GROUPS", "CHANGED"],
    row({ user, memberships, lastChange }) {
      const inGroups = memberships === undefined ? "" : membershipsText(memberships);
      const changed = lastChange === undefined ? "" : changeText(lastChange, now);
      return [user.name, String(user.revision), passwordText(user), tokenText(user), inGroups, changed];
    },
    json: ({ user }) => userJson(user),
  };
}

/** A user as in the API, hashes included. */
export function userJson({ name, revision, passwordHash, tokenHash }: User): JsonObject {
  return { name, revision: jsonNumber(revision), password_hash: passwordHash, token_hash: tokenHash };
}

/** One user, its user_groups and its last change. @param now wall clock, milliseconds since 1970 */
export function userInfo(user: User, { userGroups, lastChange }: GetUserResponse, now: number): ValueView {
  const fields = [
    ["name", user.name],
    ["revision", String(user.revision)],
    ["password", passwordText(user)],
    ["token", tokenText(user)],
    ["user_groups", membershipsText({ userGroups, count: userGroups.length })],
    ...(lastChange === undefined ? [] : [["last_change", changeText(lastChange, now)] as const]),
  ] as const;
  const changeJson =
    lastChange === undefined
      ? {}
      : { last_change: { ...(lastChange.at === undefined ? {} : { at: timestampDate(lastChange.at).toISOString() }), by: lastChange.by } };
  return { text: fieldsText(fields), json: () => ({ ...userJson(user), user_groups: userGroups, ...changeJson }) };
}

/** The generated secrets of a user, which can't be read again. */
export function madeLines(made: Readonly<{ password: string; token: string }>): string {
  return Object.entries(made)
    .filter(([, secret]) => secret !== "")
    .map(([what, secret]) => `its ${what}, shown only once:\n  ${secret}\n`)
    .join("");
}

function changeText({ at, by }: Change, now: number): string {
  return `${ageOf(at, now)} ago by ${by}`;
}
