import type { Credentials } from "../../../../common/access/authorization.ts";
import { NebulaError } from "../../../../common/errors/nebula-error.ts";
import type { ServerUrl } from "../../../../common/settings/settings.ts";
import { wholeSecret } from "../../../../common/text/utf8.ts";
import type { CommandContext } from "../../command/context.ts";
import type { Flag, NumberFlag, SwitchFlag, TextFlag } from "../../command/flags.ts";
import { PASSWORD_FILE, SERVER, TOKEN_FILE } from "../../command/global-flags.ts";
import { secretFromStdin, secretOf } from "../../command/secrets.ts";
import { DEFAULT_SERVER, formatServerUrl, readServerUrl } from "../../session/server-url.ts";

/** --server, with the original's letter for --host_uri. */
const LOGIN_SERVER: TextFlag = { ...SERVER, short: "U" };
const USER: TextFlag = { kind: "text", name: "username", short: "u", placeholder: "NAME", offers: { names: "user" }, help: "The user to log in as." };
const PASSWORD_STDIN: SwitchFlag = { kind: "switch", name: "password-stdin", help: "Reads the password from standard input." };
const TOKEN_STDIN: SwitchFlag = { kind: "switch", name: "token-stdin", help: "Reads the token from standard input." };
export const PASSWORD: TextFlag = {
  kind: "text",
  name: "password",
  short: "p",
  placeholder: "PASSWORD",
  help: "As in the original. Other users see it in the process list: prefer --password-stdin.",
};
export const TOKEN: TextFlag = {
  kind: "text",
  name: "token",
  short: "t",
  placeholder: "TOKEN",
  help: "As in the original. Other users see it in the process list: prefer --token-stdin.",
};
const HOST: TextFlag = {
  kind: "text",
  name: "host",
  short: "h",
  placeholder: "HOST",
  help: "The host of the server, as in the original; --server replaces --host, --port and --protocol.",
};
const PORT: NumberFlag = {
  kind: "number",
  name: "port",
  short: "c",
  placeholder: "PORT",
  min: 1,
  max: 65535,
  integer: true,
  help: "The port, with --host. Default: 80.",
};
const PROTOCOL: TextFlag = {
  kind: "text",
  name: "protocol",
  short: "P",
  placeholder: "http|https",
  choices: ["http", "https"],
  help: "The protocol, with --host. Default: http.",
};

/** The flags of `login`: the original's, with its letters, and those that keep secrets out of the list of processes. */
export const LOGIN_FLAGS: readonly Flag[] = [LOGIN_SERVER, USER, PASSWORD_STDIN, TOKEN_STDIN, HOST, PORT, PROTOCOL, PASSWORD, TOKEN];

type Input = Pick<CommandContext, "values" | "io" | "signal">;

/**
 * The server to log in to: --server, --host with --port and --protocol, NEBULA_SERVER, or asked for on the terminal.
 */
export async function loginServer({ values, io, signal }: Input): Promise<ServerUrl> {
  const [url, host] = [values.text(LOGIN_SERVER), values.text(HOST)];
  if (url !== undefined && host !== undefined) throw new NebulaError("invalid_argument", "--server and --host both name a server; use one of them");
  if (url !== undefined) return readServerUrl(url, "--server");
  if (host !== undefined) {
    const bracketed = host.includes(":") && !host.startsWith("[") ? `[${host}]` : host;
    return readServerUrl(
      `${values.text(PROTOCOL) ?? "http"}://${bracketed}:${values.number(PORT) ?? 80}`,
      "the server of --host, --port and --protocol",
    );
  }
  if (values.has(PORT) || values.has(PROTOCOL))
    throw new NebulaError("invalid_argument", "--port and --protocol need --host; use that, or --server URL");
  const known = io.env.NEBULA_SERVER ?? "";
  if (known !== "") return readServerUrl(known, "NEBULA_SERVER");
  if (io.terminal === undefined) throw new NebulaError("invalid_argument", "login needs --server URL, or --host");
  const answer = (await io.terminal.ask(`Server [${formatServerUrl(DEFAULT_SERVER)}]: `, signal)).trim();
  return answer === "" ? DEFAULT_SERVER : readServerUrl(answer, "the server");
}

/**
 * The credentials to store. A token takes precedence over a password. As in the original, an empty text counts as
 * absent.
 */
export async function loginCredentials(input: Input): Promise<Credentials> {
  const { values, io, signal } = input;
  if (values.on(PASSWORD_STDIN) && values.on(TOKEN_STDIN)) {
    throw new NebulaError("invalid_argument", "--password-stdin and --token-stdin both read standard input; use one of them");
  }
  const token =
    (await secretOf(values, TOKEN_FILE)) ??
    (values.on(TOKEN_STDIN) ? await secretFromStdin(TOKEN_STDIN, io, signal) : typed(values.text(TOKEN), TOKEN.name));
  if (token !== undefined) return { kind: "token", token };

  const password = (await secretOf(values, PASSWORD_FILE)) ?? (await typedPassword(input));
  const user = given(values.text(USER)) ?? given(io.env.NEBULA_USER);
  if (io.terminal === undefined) {
    if (user !== undefined && password !== undefined) return { kind: "password", user, password };
    const missing = [...(user === undefined ? ["--username"] : []), ...(password === undefined ? ["--password-stdin or --password-file"] : [])];
    throw new NebulaError("invalid_argument", `login needs ${missing.join(", and ")}; or --token-stdin or --token-file`);
  }
  const asked = user ?? (await io.terminal.ask("User: ", signal)).trim();
  return { kind: "password", user: asked, password: password ?? (await io.terminal.askSecret(`Password of ${asked}: `, signal)) };
}

async function typedPassword({ values, io, signal }: Input): Promise<string | undefined> {
  return values.on(PASSWORD_STDIN) ? secretFromStdin(PASSWORD_STDIN, io, signal) : typed(values.text(PASSWORD), PASSWORD.name);
}

function typed(text: string | undefined, flag: string): string | undefined {
  return text === undefined ? undefined : given(wholeSecret(text, `--${flag}`));
}

function given(text: string | undefined): string | undefined {
  return text === undefined || text === "" ? undefined : text;
}
