import { readFile } from "node:fs/promises";
import { NebulaError } from "../../../common/errors/nebula-error.ts";
import { systemReason } from "../../../common/errors/system-reason.ts";
import { utf8Text, wholeSecret } from "../../../common/text/utf8.ts";
import { withoutEnd } from "../../../common/text/without-end.ts";
import type { FlagValues, TextFlag } from "../command/flags.ts";
import { PASSWORD_FILE, PROFILE, SERVER, TOKEN_FILE, USERNAME } from "../command/global-flags.ts";
import type { Io } from "../io.ts";
import { readOriginalLogin, readProfiles } from "./login-files.ts";
import { type Login, resolveLogin } from "./resolve-login.ts";
import { readClientTls, tlsFilesFrom, tlsFilesGiven } from "./tls-files.ts";

/** The server and login of a command: from its flags, the environment and the files of the home folder. */
export async function findLogin(values: FlagValues, io: Io, signal: AbortSignal): Promise<Login> {
  const flags = {
    server: values.text(SERVER),
    profile: values.text(PROFILE),
    username: values.text(USERNAME),
    password: await secretOf(values, PASSWORD_FILE),
    token: await secretOf(values, TOKEN_FILE),
  };
  const login = await resolveLogin(flags, {
    env: await withSecretFiles(io.env),
    profiles: () => readProfiles(io.home, (sentence) => io.err(`warning: ${sentence}\n`)),
    original: () => readOriginalLogin(io.home),
    askPassword: (user) => askPassword(user, io, signal),
  });
  return { ...login, tls: await readClientTls({ ...login.tlsFiles, ...tlsFilesGiven(values, io) }, tlsFilesFrom(values, io, login.credentialsFrom)) };
}

/** NEBULA_TOKEN_FILE and NEBULA_PASSWORD_FILE name files that hold what NEBULA_TOKEN and NEBULA_PASSWORD would say. */
async function withSecretFiles(env: Io["env"]): Promise<Io["env"]> {
  const found: Record<string, string> = {};
  for (const name of ["NEBULA_TOKEN", "NEBULA_PASSWORD"]) {
    const path = env[`${name}_FILE`] ?? "";
    if (path !== "" && (env[name] ?? "") === "") found[name] = await readSecret(path, `${name}_FILE`);
  }
  const all = { ...env, ...found };
  for (const name of ["NEBULA_TOKEN", "NEBULA_PASSWORD"]) wholeSecret(all[name] ?? "", name);
  return all;
}

/** A password from the terminal, never shown. */
export async function askPassword(user: string, { terminal }: Io, signal: AbortSignal): Promise<string> {
  if (terminal === undefined) {
    throw new NebulaError(
      "invalid_argument",
      `the password of user "${user}" is missing, and nobody can be asked: give --password-file or NEBULA_PASSWORD`,
    );
  }
  return terminal.askSecret(`Password of ${user}: `, signal);
}

/** The secret in the file that a flag names, without the line's end. */
export async function secretOf(values: FlagValues, flag: TextFlag): Promise<string | undefined> {
  const path = values.text(flag);
  return path === undefined ? undefined : readSecret(path, `--${flag.name}`);
}

async function readSecret(path: string, label: string): Promise<string> {
  try {
    const secret = withoutEnd(utf8Text(await readFile(path), "it"), "\r\n");
    if (secret !== "") return secret;
  } catch (error) {
    throw new NebulaError("invalid_argument", `${label} ${path} can't be read: ${systemReason(error)}`, { cause: error });
  }
  throw new NebulaError("invalid_argument", `${label} ${path} is an empty file`);
}
