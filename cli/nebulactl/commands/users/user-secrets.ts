import { NebulaError } from "../../../../common/errors/nebula-error.ts";
import { wholeSecret } from "../../../../common/text/utf8.ts";
import type { CommandContext } from "../../command/context.ts";
import type { Flag, SwitchFlag, TextFlag } from "../../command/flags.ts";
import { secretFromStdin, secretOf } from "../../command/secrets.ts";

/* The flags for the new credentials of a user. While one of these is given, the login of nebulactl itself comes from elsewhere. */

const PASSWORD: TextFlag = {
  kind: "text",
  name: "password",
  short: "p",
  placeholder: "PASSWORD",
  help: "As in the original. Other users see it in the process list: prefer --password-file or --password-stdin.",
};
const TOKEN: TextFlag = {
  kind: "text",
  name: "token",
  short: "t",
  placeholder: "TOKEN",
  help: "As in the original. Other users see it in the process list: prefer --token-file or --token-stdin.",
};
const PASSWORD_FILE: TextFlag = {
  kind: "text",
  name: "password-file",
  placeholder: "FILE",
  offers: { files: true },
  help: "A file with the password of the user.",
};
const TOKEN_FILE: TextFlag = {
  kind: "text",
  name: "token-file",
  placeholder: "FILE",
  offers: { files: true },
  help: "A file with the token of the user.",
};
const PASSWORD_STDIN: SwitchFlag = { kind: "switch", name: "password-stdin", help: "Reads the password of the user from standard input." };
const TOKEN_STDIN: SwitchFlag = { kind: "switch", name: "token-stdin", help: "Reads the token of the user from standard input." };

export const USER_SECRET_FLAGS: readonly Flag[] = [PASSWORD_FILE, PASSWORD_STDIN, TOKEN_FILE, TOKEN_STDIN, PASSWORD, TOKEN];

export type UserSecrets = Readonly<{ password?: string; token?: string }>;

type Input = Pick<CommandContext, "values" | "io" | "signal" | "login">;

/** The credentials that the flags give. An empty text counts as absent, as in the original. */
export async function givenSecrets(input: Input): Promise<UserSecrets> {
  const { values, io } = input;
  if (values.on(PASSWORD_STDIN) && values.on(TOKEN_STDIN)) {
    throw new NebulaError("invalid_argument", "--password-stdin and --token-stdin both read standard input; use one of them");
  }
  for (const flag of [PASSWORD, TOKEN]) {
    if ((values.text(flag) ?? "") === "") continue;
    io.err(
      `warning: ps shows --${flag.name} while this runs, and the shell keeps it in its history: --${flag.name}-file and --${flag.name}-stdin do neither\n`,
    );
  }
  const password = await oneOf(input, PASSWORD, PASSWORD_FILE, PASSWORD_STDIN);
  const token = await oneOf(input, TOKEN, TOKEN_FILE, TOKEN_STDIN);
  if (token !== undefined) await refuseOwnToken(token, input);
  return { ...(password === undefined ? {} : { password }), ...(token === undefined ? {} : { token }) };
}

/** Asks for a password on the terminal, twice; undefined without a terminal, or if it is empty. */
export async function typedPassword(user: string, ifEmpty: string, { io, signal }: Input): Promise<string | undefined> {
  if (io.terminal === undefined) return undefined;
  const password = await io.terminal.askSecret(`Password of ${user} (empty: ${ifEmpty}): `, signal);
  if (password === "") return undefined;
  const again = await io.terminal.askSecret("Repeat the password: ", signal);
  if (again === password) return password;
  throw new NebulaError("invalid_argument", "the two passwords differ: nothing was changed");
}

async function oneOf(input: Input, flag: TextFlag, file: TextFlag, stdin: SwitchFlag): Promise<string | undefined> {
  const { values } = input;
  const given = [flag, file, stdin].filter((each) => values.has(each)).map(({ name }) => `--${name}`);
  if (given.length > 1) throw new NebulaError("invalid_argument", `${given.join(" and ")} set the same value; use one of them`);
  const text = values.on(stdin)
    ? await secretFromStdin(stdin, input.io, input.signal)
    : ((await secretOf(values, file)) ?? wholeSecret(values.text(flag) ?? "", `--${flag.name}`));
  return text === "" ? undefined : text;
}

/**
 * Refuses the caller's own token: elsewhere --token-file is the login of nebulactl, so a caller who means that must not
 * give it away.
 */
async function refuseOwnToken(token: string, { login }: Input): Promise<void> {
  const { credentials } = await login();
  if (credentials?.kind !== "token" || credentials.token !== token) return;
  throw new NebulaError("invalid_argument", "the token of the user is the one that you log in with; use another one, or none to generate one");
}
