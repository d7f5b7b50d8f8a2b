import { timestampMs } from "@bufbuild/protobuf/wkt";
import { ageOf, formatAge } from "../../../../common/text/age.ts";
import { AccessService, type Session, SessionCredential, SessionSchema } from "../../../../gen/nebula/v1/access_pb.ts";
import type { Noun } from "../../command/command.ts";
import type { TextFlag } from "../../command/flags.ts";
import { LIST_OUTPUTS } from "../../command/global-flags.ts";
import type { ListView } from "../../output/print-list.ts";
import { protoJson } from "../../output/proto-json.ts";
import { confirmDelete, YES } from "../entities/confirm-delete.ts";
import { LIMIT_FLAGS, NO_LIMIT, printSomePages } from "../lists/pages.ts";

const OF_USER: TextFlag = {
  kind: "text",
  name: "user",
  short: "u",
  placeholder: "USER",
  offers: { names: "user" },
  help: "Only of this user. Default: of all, or your own where you are not an admin.",
};
const ID: TextFlag = { kind: "text", name: "id", placeholder: "ID", help: "The id of the session, as `sessions list` prints it." };

/** Sessions: logins of browsers. */
export const sessions: Noun = {
  kind: "noun",
  name: "sessions",
  aliases: ["session"],
  summary: "Shows and ends sessions: logins of browsers.",
  verbs: [
    {
      kind: "command",
      name: "list",
      summary: "Lists the sessions that are valid, newest first.",
      details: ["An admin lists those of all users, another user its own."],
      examples: ["nebulactl sessions list", "nebulactl sessions list --user ann"],
      flags: [OF_USER, ...LIMIT_FLAGS],
      outputs: LIST_OUTPUTS,
      async run(context) {
        const { client, values, signal, io } = context;
        const calls = await client(AccessService);
        const user = values.text(OF_USER) ?? "";
        const fetch = async (pageSize: number, pageToken: string) => {
          const { sessions: items, nextPageToken } = await calls.listSessions({ user, pageSize, pageToken }, { signal });
          return { items, nextPageToken };
        };
        await printSomePages(fetch, NO_LIMIT, sessionList(io.clock.now()), context);
        return 0;
      },
    },
    {
      kind: "command",
      name: "delete",
      summary: "Ends a session: its browser has to log in again, within a second.",
      examples: ["nebulactl sessions delete 5b1f8f0c6f2b9a44"],
      arguments: [{ label: "ID", flag: ID }],
      required: [ID],
      flags: [YES],
      async run(context) {
        const id = context.values.text(ID) ?? "";
        await confirmDelete(`session ${id}`, id, context);
        await (await context.client(AccessService)).deleteSession({ id }, { signal: context.signal });
        context.io.out(`session ${id} ended\n`);
        return 0;
      },
    },
  ],
};

/** A list of sessions, a line each. @param now wall clock, milliseconds since 1970 */
function sessionList(now: number): ListView<Session> {
  return {
    plural: "sessions",
    header: ["ID", "USER", "MADE", "WITH", "FROM", "EXPIRES IN"],
    row({ id, user, createdAt, madeWith, madeFrom, expiresAt }) {
      const left = expiresAt === undefined ? "" : formatAge(timestampMs(expiresAt) - now);
      return [id, user, `${ageOf(createdAt, now)} ago`, madeWith === SessionCredential.TOKEN ? "token" : "password", madeFrom, left];
    },
    json: (session) => protoJson(SessionSchema, session),
  };
}
