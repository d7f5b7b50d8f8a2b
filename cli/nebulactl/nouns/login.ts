import { createClient } from "@connectrpc/connect";
import { NebulaError } from "../../../common/errors/nebula-error.ts";
import { StatusService } from "../../../gen/nebula/v1/status_pb.ts";
import type { Command } from "../command/command.ts";
import type { CommandContext } from "../command/context.ts";
import type { SwitchFlag } from "../command/flags.ts";
import { PROFILE } from "../command/global-flags.ts";
import { explainError } from "../errors/describe-error.ts";
import { readProfiles, writeProfiles } from "../login/login-files.ts";
import { HOST, LOGIN_SERVER, PASSWORD, PASSWORD_STDIN, PORT, PROTOCOL, TOKEN, TOKEN_STDIN, USER } from "../login/login-flags.ts";
import { loginCredentials, loginServer } from "../login/login-input.ts";
import { DEFAULT_PROFILE, PROFILES_FILE, type StoredLogin, withProfile } from "../login/profiles.ts";
import { formatServerUrl } from "../login/server-url.ts";
import { absoluteTlsFiles, readClientTls, tlsFilesFrom, tlsFilesGiven } from "../login/tls-files.ts";

const NO_CHECK: SwitchFlag = { kind: "switch", name: "no-check", help: "Stores the login without asking the server whether it is right." };

/** Stores a login under a profile, once the server has taken it. */
export const login: Command = {
  kind: "command",
  name: "login",
  summary: "Stores a server and how to log in there.",
  details: [
    `The login is kept in ~/${PROFILES_FILE}, which only its owner can read, as the profile that --profile names ("${DEFAULT_PROFILE}" without it),`,
    "and is used from then on; so are the files that --tls-ca, --tls-client-cert and --tls-client-key name, which stay where they are.",
    "What is said otherwise counts before it, in this order: flags, NEBULA_SERVER with NEBULA_TOKEN or NEBULA_USER and NEBULA_PASSWORD,",
    "NEBULA_PROFILE. Where there is no login of nebulactl's own, that of the original tool in ~/.nebula.json is used.",
  ],
  flags: [LOGIN_SERVER, USER, PASSWORD_STDIN, TOKEN_STDIN, HOST, PORT, PROTOCOL, PASSWORD, TOKEN, NO_CHECK],
  examples: [
    "nebulactl login --server https://nebula.example.com --username ci --password-stdin < password",
    "nebulactl login --profile prod --server https://nebula.example.com --token-file token",
  ],
  async run(context) {
    const { values, io } = context;
    warnOfSecrets(context);
    const tlsFiles = absoluteTlsFiles(tlsFilesGiven(values, io));
    const stored: StoredLogin = {
      server: await loginServer(context),
      credentials: await loginCredentials(context),
      ...(Object.keys(tlsFiles).length === 0 ? {} : { tlsFiles }),
    };
    const user = values.on(NO_CHECK) ? undefined : await userAt(stored, context);
    const profile = values.text(PROFILE) ?? (io.env.NEBULA_PROFILE || DEFAULT_PROFILE);
    await writeProfiles(io.home, withProfile(await readProfiles(io.home), profile, stored));
    io.out(`logged in to ${formatServerUrl(stored.server)}${user === undefined ? "" : ` as ${user}`}, profile ${profile}\n`);
    return 0;
  },
};

function warnOfSecrets({ values, io }: CommandContext): void {
  for (const flag of [PASSWORD, TOKEN]) {
    if ((values.text(flag) ?? "") === "") continue;
    io.err(`warning: --${flag.name} can be read in the list of processes and the shell's history; --${flag.name}-stdin can't\n`);
  }
}

/** The user that the server takes the login for. */
async function userAt({ server, credentials, tlsFiles = {} }: StoredLogin, { io, signal, values }: CommandContext): Promise<string> {
  const tls = await readClientTls(tlsFiles, tlsFilesFrom(values, io, "the login"));
  const login = { server, serverFrom: "the login", credentials, credentialsFrom: "the login", tls };
  try {
    return (await createClient(StatusService, await io.connect(login)).getStatus({}, { signal })).user;
  } catch (error) {
    const hint = "nothing was stored; --no-check stores it all the same";
    throw new NebulaError("failed_precondition", `${(await explainError(error, login, { changing: false })).join(" ")} (${hint})`, { cause: error });
  }
}
