import { createClient } from "@connectrpc/connect";
import { NebulaError } from "../../../../common/errors/nebula-error.ts";
import { StatusService } from "../../../../gen/nebula/v1/status_pb.ts";
import type { Command } from "../../command/command.ts";
import type { CommandContext } from "../../command/context.ts";
import { tlsFilesFrom, tlsFilesGiven } from "../../command/find-login.ts";
import type { SwitchFlag } from "../../command/flags.ts";
import { PROFILE } from "../../command/global-flags.ts";
import { explainError } from "../../errors/describe-error.ts";
import { readProfiles, writeProfiles } from "../../session/login-files.ts";
import { DEFAULT_PROFILE, PROFILES_FILE, type StoredLogin, withProfile } from "../../session/profiles.ts";
import { formatServerUrl } from "../../session/server-url.ts";
import { absoluteTlsFiles, readClientTls } from "../../session/tls-files.ts";
import { LOGIN_FLAGS, loginCredentials, loginServer, PASSWORD, TOKEN } from "./login-input.ts";

const NO_CHECK: SwitchFlag = { kind: "switch", name: "no-check", help: "Stores the login without checking it at the server." };

/** Stores a login as a profile, after the server has accepted it. */
export const login: Command = {
  kind: "command",
  name: "login",
  summary: "Stores a server and how to log in there.",
  details: [
    `The login is stored in ~/${PROFILES_FILE}, which only its owner can read, as the profile that --profile names ("${DEFAULT_PROFILE}" without it),`,
    "and is used from then on. The files of --tls-ca, --tls-client-cert and --tls-client-key are used too and stay where they are.",
    "These take precedence, in this order: flags, NEBULA_SERVER with NEBULA_TOKEN or NEBULA_USER and NEBULA_PASSWORD,",
    "NEBULA_PROFILE. Without a login of nebulactl, the one of the original tool in ~/.nebula.json is used.",
  ],
  flags: [...LOGIN_FLAGS, NO_CHECK],
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

/** Checks the login at the server. Returns the user that it belongs to. */
async function userAt({ server, credentials, tlsFiles = {} }: StoredLogin, { io, signal, values }: CommandContext): Promise<string> {
  const tls = await readClientTls(tlsFiles, tlsFilesFrom(values, io, "the login"));
  const login = { server, serverFrom: "the login", credentials, credentialsFrom: "the login", tls };
  try {
    return (await createClient(StatusService, await io.connect(login)).getStatus({}, { signal })).user;
  } catch (error) {
    const hint = "nothing was stored; use --no-check to store it anyway";
    throw new NebulaError("failed_precondition", `${(await explainError(error, login, { changing: false })).join(" ")} (${hint})`, { cause: error });
  }
}
