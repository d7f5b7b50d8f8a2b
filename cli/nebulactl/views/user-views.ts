import type { JsonObject } from "@bufbuild/protobuf";
import { timestampDate } from "@bufbuild/protobuf/wkt";
import { jsonNumber } from "../../../common/resources/resource-fields.ts";
import { ageOf } from "../../../common/text/age.ts";
import type { Change } from "../../../gen/nebula/v1/change_pb.ts";
import type { User } from "../../../gen/nebula/v1/user_pb.ts";
import type { ListView } from "../output/print-list.ts";
import { fieldsText, type ValueView } from "../output/render-value.ts";

/** A list of users: how each may log in, without the hashes. */
export const userList: ListView<User> = {
  plural: "users",
  header: ["USER", "REVISION", "PASSWORD", "TOKEN"],
  row: (user) => [user.name, String(user.revision), passwordText(user), user.tokenHash === "" ? "none" : "yes"],
  json: userJson,
};

/** A user as in the API, hashes included. */
export function userJson({ name, revision, passwordHash, tokenHash }: User): JsonObject {
  return { name, revision: jsonNumber(revision), password_hash: passwordHash, token_hash: tokenHash };
}

/** One user and the last change. @param now wall clock, milliseconds since 1970 */
export function userInfo(user: User, change: Change | undefined, now: number): ValueView {
  const last = change === undefined ? [] : [["last_change", `${ageOf(change.at, now)} ago by ${change.by}`] as const];
  const fields = [
    ["name", user.name],
    ["revision", String(user.revision)],
    ["password", passwordText(user)],
    ["token", user.tokenHash === "" ? "none" : "yes"],
    ...last,
  ] as const;
  const changeJson =
    change === undefined
      ? {}
      : { last_change: { ...(change.at === undefined ? {} : { at: timestampDate(change.at).toISOString() }), by: change.by } };
  return { text: fieldsText(fields), json: () => ({ ...userJson(user), ...changeJson }) };
}

/** The generated secrets of a user, which can't be read again. */
export function madeLines(made: Readonly<{ password: string; token: string }>): string {
  return Object.entries(made)
    .filter(([, secret]) => secret !== "")
    .map(([what, secret]) => `its ${what}, shown only once:\n  ${secret}\n`)
    .join("");
}

/** The hash algorithm of the password: a bcrypt hash was imported, and the password was not used since. */
function passwordText({ passwordHash }: User): string {
  if (passwordHash === "") return "none";
  return passwordHash.startsWith("$argon2id$") ? "argon2id" : "bcrypt";
}
