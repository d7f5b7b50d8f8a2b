import type { JsonObject } from "@bufbuild/protobuf";
import { userToV2 } from "../../common/v2/entity-to-v2.ts";
import { wrong } from "../../common/v2/fields-from-json.ts";
import { type User, UserService } from "../../gen/nebula/v1/user_pb.ts";
import { entityOperations, refusal } from "./entity-operations.ts";
import { objectOf, TEXT } from "./openapi/schemas.ts";
import type { Operation } from "./operation.ts";
import { inWords, present, refuseNothing, refuseViolations, USERS } from "./v2-answers.ts";

const { createUser, getUser, listUsers, updateUser, deleteUser, refreshUserToken } = UserService.method;
/** The answer of v2 for a user that does not exist, at an update and at a refresh. */
const ODDLY_MISSING = { user_name: false };
const { nameField } = USERS;

export const USER_OPERATIONS: readonly Operation[] = [
  ...entityOperations({
    noun: USERS,
    async list(call, page) {
      const { users, nextPageToken } = await call(listUsers, page);
      return { names: users.map(({ name }) => name), nextPageToken };
    },
    get: async (call, name) => shown(await call(getUser, { name })),
    async create(call, name, body) {
      const created = await call(createUser, { name, ...credentialsOf(body) });
      return { ...shown(created), ...generated(created) };
    },
    remove: (call, name) => call(deleteUser, { name }),
    async change(call, name, body) {
      const credentials = credentialsOf(body);
      refuseNothing(credentials); // unknown fields alone
      return shown(await call(updateUser, { name, ...credentials }));
    },
    updated: { status: 200, missing: { change: ODDLY_MISSING, replace: ODDLY_MISSING } },
    refusals: { given: [], whole: [] },
  }),
  {
    method: "POST",
    path: `/users/{${nameField}}/refresh`,
    id: "refreshUserToken",
    summary: "Gives a user a new token in place of the one it has.",
    answers: [
      { status: 200, description: "The new token, in clear: it can't be read again.", schema: objectOf({ token: TEXT }) },
      refusal(403, "There is no such user.", ODDLY_MISSING),
    ],
    handle: ({ call, parameter }) =>
      inWords({ nameField, missing: ODDLY_MISSING }, async () => {
        const { token } = await call(refreshUserToken, { name: parameter(nameField) });
        return { status: 200, body: { token } };
      }),
  },
];

function credentialsOf(body: JsonObject): { password?: string; token?: string } {
  const credentials: { password?: string; token?: string } = {};
  for (const field of ["password", "token"] as const) {
    const value = body[field];
    if (typeof value === "string") credentials[field] = value;
    else if (value !== undefined) refuseViolations([wrong(field, value, "a string")]);
  }
  return credentials;
}

/** The credentials that were made for a user created without: they cannot be read again. */
function generated({ generatedPassword, generatedToken }: Readonly<{ generatedPassword: string; generatedToken: string }>): JsonObject {
  return {
    ...(generatedPassword === "" ? {} : { generated_password: generatedPassword }),
    ...(generatedToken === "" ? {} : { generated_token: generatedToken }),
  };
}

function shown({ user }: Readonly<{ user?: User | undefined }>): JsonObject {
  return userToV2(present(user, "user"));
}
