import { NebulaError } from "../../../common/errors/nebula-error.ts";
import type { Credentials, ServerUrl } from "../../../common/settings/settings.ts";
import { wholeSecret } from "../../../common/text/utf8.ts";
import { withoutEnd } from "../../../common/text/without-end.ts";
import type { CommandContext } from "../command/context.ts";
import { PASSWORD_FILE, TOKEN_FILE } from "../command/global-flags.ts";
import { secretOf } from "./find-login.ts";
import { HOST, LOGIN_SERVER, PASSWORD, PASSWORD_STDIN, PORT, PROTOCOL, TOKEN, TOKEN_STDIN, USER } from "./login-flags.ts";
import { DEFAULT_SERVER, formatServerUrl, readServerUrl } from "./server-url.ts";

type Input = Pick<CommandContext, "values" | "io" | "signal">;

/** The server to log in to: --server, --host with --port and --protocol, NEBULA_SERVER, or asked for. */
export async function loginServer({ values, io, signal }: Input): Promise<ServerUrl> {
  const [url, host] = [values.text(LOGIN_SERVER), values.text(HOST)];
  if (url !== undefined && host !== undefined) throw new NebulaError("invalid_argument", "--server and --host both name a server: give one of them");
  if (url !== undefined) return readServerUrl(url, "--server");
  if (host !== undefined) {
    const bracketed = host.includes(":") && !host.startsWith("[") ? `[${host}]` : host;
    return readServerUrl(
      `${values.text(PROTOCOL) ?? "http"}://${bracketed}:${values.number(PORT) ?? 80}`,
      "the server of --host, --port and --protocol",
    );
  }
  if (values.has(PORT) || values.has(PROTOCOL))
    throw new NebulaError("invalid_argument", "--port and --protocol go with --host: give that, or --server URL");
  const known = io.env.NEBULA_SERVER ?? "";
  if (known !== "") return readServerUrl(known, "NEBULA_SERVER");
  if (io.terminal === undefined) throw new NebulaError("invalid_argument", "login needs --server URL, or --host");
  const answer = (await io.terminal.ask(`Server [${formatServerUrl(DEFAULT_SERVER)}]: `, signal)).trim();
  return answer === "" ? DEFAULT_SERVER : readServerUrl(answer, "the server");
}

/** The credentials to store. A token counts before a password, and, as in the original, an empty text counts as absent. */
export async function loginCredentials(input: Input): Promise<Credentials> {
  const { values, io, signal } = input;
  if (values.on(PASSWORD_STDIN) && values.on(TOKEN_STDIN)) {
    throw new NebulaError("invalid_argument", "--password-stdin and --token-stdin both read standard input: give one of them");
  }
  const token =
    (await secretOf(values, TOKEN_FILE)) ??
    (values.on(TOKEN_STDIN) ? await fromStdin(input, TOKEN_STDIN.name) : typed(values.text(TOKEN), TOKEN.name));
  if (token !== undefined) return { kind: "token", token };

  const password = (await secretOf(values, PASSWORD_FILE)) ?? (await typedPassword(input));
  const user = given(values.text(USER)) ?? given(io.env.NEBULA_USER);
  if (io.terminal === undefined) {
    if (user !== undefined && password !== undefined) return { kind: "password", user, password };
    const missing = [...(user === undefined ? ["--username"] : []), ...(password === undefined ? ["--password-stdin"] : [])];
    throw new NebulaError("invalid_argument", `login needs ${missing.join(" and ")}, or --token-stdin`);
  }
  const asked = user ?? (await io.terminal.ask("User: ", signal)).trim();
  return { kind: "password", user: asked, password: password ?? (await io.terminal.askSecret(`Password of ${asked}: `, signal)) };
}

async function typedPassword(input: Input): Promise<string | undefined> {
  return input.values.on(PASSWORD_STDIN) ? fromStdin(input, PASSWORD_STDIN.name) : typed(input.values.text(PASSWORD), PASSWORD.name);
}

async function fromStdin({ io, signal }: Input, name: string): Promise<string> {
  const secret = withoutEnd(await io.readStdin(signal), "\r\n");
  if (secret === "") throw new NebulaError("invalid_argument", `--${name} was given, and standard input is empty`);
  return secret;
}

function typed(text: string | undefined, flag: string): string | undefined {
  return text === undefined ? undefined : given(wholeSecret(text, `--${flag}`));
}

function given(text: string | undefined): string | undefined {
  return text === undefined || text === "" ? undefined : text;
}
