import type { JsonObject } from "@bufbuild/protobuf";
import { NebulaError } from "../../../../common/errors/nebula-error.ts";
import { jsonNumber } from "../../../../common/resources/resource-fields.ts";
import { UserService } from "../../../../gen/nebula/v1/user_pb.ts";
import type { Command, Noun } from "../../command/command.ts";
import type { TextFlag } from "../../command/flags.ts";
import { LIST_OUTPUTS, OUTPUTS } from "../../command/global-flags.ts";
import { renderValue } from "../../output/render-value.ts";
import { printWarnings } from "../../output/warnings.ts";
import { listedUsers, madeLines, userInfo, userJson, userList } from "../../views/user-views.ts";
import { confirmDelete, YES } from "../entities/confirm-delete.ts";
import { IF_REVISION, ifRevision } from "../entities/if-revision.ts";
import { groupsOfUser } from "../entities/in-use.ts";
import { answered, condition } from "../entities/kind.ts";
import { LIMIT_FLAGS, NO_LIMIT, printSomePages } from "../lists/pages.ts";
import { givenSecrets, typedPassword, USER_SECRET_FLAGS } from "./user-secrets.ts";

const USER: TextFlag = { kind: "text", name: "user", short: "u", placeholder: "USER", offers: { names: "user" }, help: "The name of the user." };

const ofOneUser: Pick<Command, "kind" | "arguments" | "required" | "outputs"> = {
  kind: "command",
  arguments: [{ label: "USER", flag: USER }],
  required: [USER],
  outputs: OUTPUTS,
};

const WHOSE =
  "Here --password-file and --token-file are those of the user; your own login comes from a profile, NEBULA_TOKEN, or NEBULA_USER and NEBULA_PASSWORD.";

/** Users: who may call the API. */
export const users: Noun = {
  kind: "noun",
  name: "users",
  aliases: ["user"],
  summary: "Manages users: who may call the API. Their rights come from user-groups.",
  verbs: [
    {
      kind: "command",
      name: "list",
      summary: "Lists the users by name.",
      examples: ["nebulactl users list"],
      flags: LIMIT_FLAGS,
      outputs: LIST_OUTPUTS,
      async run(context) {
        const { client, signal, io } = context;
        const calls = await client(UserService);
        const fetch = async (pageSize: number, pageToken: string) => {
          const page = await calls.listUsers({ pageSize, pageToken, memberships: true }, { signal });
          return { items: listedUsers(page), nextPageToken: page.nextPageToken };
        };
        await printSomePages(fetch, NO_LIMIT, userList(io.clock.now()), context);
        return 0;
      },
    },
    {
      ...ofOneUser,
      name: "info",
      summary: "Shows one user.",
      examples: ["nebulactl users info ann"],
      async run(context) {
        const { client, values, signal, io, output, paint } = context;
        const answer = await (await client(UserService)).getUser({ name: values.text(USER) ?? "", userGroups: true }, { signal });
        io.out(await renderValue(userInfo(answered(answer.user, "user"), answer, io.clock.now()), output, paint));
        printWarnings(answer.warnings, context);
        return 0;
      },
    },
    {
      ...ofOneUser,
      name: "create",
      summary: "Creates a user. A password or token that is not given is generated, and shown once.",
      details: [WHOSE],
      flags: USER_SECRET_FLAGS,
      examples: [
        "nebulactl users create ann",
        "nebulactl users create ci --password-file password",
        "nebulactl users create --user ann --password X --token Y",
      ],
      async run(context) {
        const { client, values, signal, io, output, paint } = context;
        const name = values.text(USER) ?? "";
        const given = await givenSecrets(context);
        const password = given.password ?? (await typedPassword(name, "one is generated", context));
        const request = { name, ...given, ...(password === undefined ? {} : { password }) };
        const answer = await (await client(UserService)).createUser(request, { signal });
        const user = answered(answer.user, "user");
        const made = { password: answer.generatedPassword, token: answer.generatedToken };
        const json = (): JsonObject => ({
          ...userJson(user),
          ...(made.password === "" ? {} : { generated_password: made.password }),
          ...(made.token === "" ? {} : { generated_token: made.token }),
        });
        io.out(await renderValue({ text: () => `user ${name} created, revision ${user.revision}\n${madeLines(made)}`, json }, output, paint));
        printWarnings(answer.warnings, context);
        return 0;
      },
    },
    {
      ...ofOneUser,
      name: "update",
      summary: "Changes the password, the token or both; the other one stays.",
      details: [WHOSE],
      flags: [...USER_SECRET_FLAGS, IF_REVISION],
      examples: ["nebulactl users update ann", "nebulactl users update ann --password-file password"],
      async run(context) {
        const { client, values, signal, io, output, paint } = context;
        const name = values.text(USER) ?? "";
        const given = await givenSecrets(context);
        const password = given.password ?? (given.token === undefined ? await typedPassword(name, "it stays", context) : undefined);
        if (password === undefined && given.token === undefined) {
          const how =
            io.terminal === undefined ? "--password-file or --password-stdin, --token-file or --token-stdin" : "a password, or --token-file";
          throw new NebulaError("invalid_argument", `nothing to change in user ${name}; use ${how}`);
        }
        const request = { name, ...given, ...(password === undefined ? {} : { password }), ...condition(ifRevision(context)) };
        const user = answered((await (await client(UserService)).updateUser(request, { signal })).user, "user");
        io.out(await renderValue({ text: () => `user ${name} updated, revision ${user.revision}\n`, json: () => userJson(user) }, output, paint));
        return 0;
      },
    },
    {
      ...ofOneUser,
      name: "delete",
      summary: "Deletes a user: its password and token become invalid.",
      flags: [YES, IF_REVISION],
      examples: ["nebulactl users delete ann"],
      async run(context) {
        const { client, values, signal, io, output, paint } = context;
        const name = values.text(USER) ?? "";
        await confirmDelete(`user ${name}`, name, context, groupsOfUser);
        const { revision } = await (await client(UserService)).deleteUser({ name, ...condition(ifRevision(context)) }, { signal });
        const json = (): JsonObject => ({ name, revision: jsonNumber(revision) });
        io.out(await renderValue({ text: () => `user ${name} deleted, revision ${revision}\n`, json }, output, paint));
        return 0;
      },
    },
    {
      ...ofOneUser,
      name: "refresh",
      summary: "Rotates the token of a user: the new one is shown once, the old one becomes invalid.",
      examples: ["nebulactl users refresh ci"],
      async run({ client, values, signal, io, output, paint }) {
        const { token, user: answer } = await (await client(UserService)).refreshUserToken({ name: values.text(USER) ?? "" }, { signal });
        const { name, revision } = answered(answer, "user");
        const text = () => `user ${name} has a new token, revision ${revision}; ${madeLines({ password: "", token })}`;
        io.out(await renderValue({ text, json: () => ({ name, revision: jsonNumber(revision), token }) }, output, paint));
        return 0;
      },
    },
  ],
};
