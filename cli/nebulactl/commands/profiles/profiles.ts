import type { Noun } from "../../command/command.ts";
import type { TextFlag } from "../../command/flags.ts";
import { LIST_OUTPUTS } from "../../command/global-flags.ts";
import { type ListView, printList } from "../../output/print-list.ts";
import { readProfiles, writeProfiles } from "../../session/login-files.ts";
import { profileNamed, type StoredLogin } from "../../session/profiles.ts";
import { formatServerUrl } from "../../session/server-url.ts";

const NAME: TextFlag = { kind: "text", name: "name", placeholder: "PROFILE", offers: { names: "profile" }, help: "The profile." };

type Row = { name: string; current: boolean; login: StoredLogin };

/** A list of profiles, without passwords and tokens. */
const view: ListView<Row> = {
  plural: "profiles; create one with nebulactl login",
  header: ["PROFILE", "SERVER", "LOGIN", "CURRENT"],
  row: ({ name, current, login }) => [name, formatServerUrl(login.server), loginText(login), current ? "yes" : ""],
  json: ({ name, current, login }) => ({ name, server: formatServerUrl(login.server), login: loginText(login), current }),
};

/** The stored logins. */
export const profiles: Noun = {
  kind: "noun",
  name: "profiles",
  aliases: ["profile"],
  summary: "Shows the stored logins and chooses the current one.",
  defaultVerb: "list",
  verbs: [
    {
      kind: "command",
      name: "list",
      summary: "Lists the stored logins.",
      outputs: LIST_OUTPUTS,
      examples: ["nebulactl profiles"],
      async run(context) {
        const { current, logins } = await readProfiles(context.io.home);
        const rows = [...logins].map(([name, login]) => ({ name, login, current: name === current }));
        await printList(rows, view, context);
        return 0;
      },
    },
    {
      kind: "command",
      name: "use",
      summary: "Makes a stored login the current one.",
      arguments: [{ label: "PROFILE", flag: NAME }],
      required: [NAME],
      examples: ["nebulactl profiles use prod"],
      async run({ values, io }) {
        const name = values.text(NAME) ?? "";
        const known = await readProfiles(io.home);
        const { server } = profileNamed(known, name);
        await writeProfiles(io.home, { ...known, current: name });
        io.out(`profile ${name} is current: ${formatServerUrl(server)}\n`);
        return 0;
      },
    },
  ],
};

function loginText({ credentials }: StoredLogin): string {
  if (credentials === undefined) return "none";
  return credentials.kind === "token" ? "token" : credentials.user;
}
