import type { OutputFormat } from "../output/render-value.ts";
import type { Flag, SwitchFlag, TextFlag } from "./flags.ts";

export const HELP: SwitchFlag = { kind: "switch", name: "help", short: "h", help: "Shows this help." };
export const VERSION: SwitchFlag = { kind: "switch", name: "version", help: "Prints nebulactl's version." };
export const DEBUG: SwitchFlag = { kind: "switch", name: "debug", help: "Adds the stack to an error." };
export const SERVER: TextFlag = {
  kind: "text",
  name: "server",
  aliases: ["host-uri"],
  placeholder: "URL",
  help: "The server: http(s)://gateway:port or grpc(s)://manager:port. Also NEBULA_SERVER.",
};
export const PROFILE: TextFlag = {
  kind: "text",
  name: "profile",
  placeholder: "NAME",
  offers: { names: "profile" },
  help: "The stored login to use. Also NEBULA_PROFILE.",
};
export const USERNAME: TextFlag = {
  kind: "text",
  name: "username",
  placeholder: "NAME",
  offers: { names: "user" },
  help: "Log in as this user. Also NEBULA_USER.",
};
export const PASSWORD_FILE: TextFlag = {
  kind: "text",
  name: "password-file",
  placeholder: "FILE",
  offers: { files: true },
  help: "A file with the password. Also NEBULA_PASSWORD_FILE; NEBULA_PASSWORD holds the password itself.",
};
export const TOKEN_FILE: TextFlag = {
  kind: "text",
  name: "token-file",
  placeholder: "FILE",
  offers: { files: true },
  help: "A file with the token. Also NEBULA_TOKEN_FILE; NEBULA_TOKEN holds the token itself.",
};

export const TLS_CA: TextFlag = {
  kind: "text",
  name: "tls-ca",
  placeholder: "FILE",
  offers: { files: true },
  help: "CA certificates (PEM file) to verify the server with. Also NEBULA_TLS_CA.",
};
export const TLS_CLIENT_CERT: TextFlag = {
  kind: "text",
  name: "tls-client-cert",
  placeholder: "FILE",
  offers: { files: true },
  help: "The client certificate (PEM file). Also NEBULA_TLS_CLIENT_CERT.",
};
export const TLS_CLIENT_KEY: TextFlag = {
  kind: "text",
  name: "tls-client-key",
  placeholder: "FILE",
  offers: { files: true },
  help: "The private key (PEM file) of --tls-client-cert. Also NEBULA_TLS_CLIENT_KEY.",
};

export const GLOBAL_FLAGS: readonly Flag[] = [
  SERVER,
  PROFILE,
  USERNAME,
  PASSWORD_FILE,
  TOKEN_FILE,
  TLS_CA,
  TLS_CLIENT_CERT,
  TLS_CLIENT_KEY,
  DEBUG,
  HELP,
  VERSION,
];

/** The formats of a command that prints all of them; the first one is the default. */
export const OUTPUTS: readonly [OutputFormat, ...OutputFormat[]] = ["table", "json", "yaml"];

/** The same of a list, whose table may also be wider than the terminal. */
export const LIST_OUTPUTS: readonly [OutputFormat, ...OutputFormat[]] = ["table", "wide", "json", "yaml"];

/** The flag -o of one command. Its value is in `output` of the command line. */
export function outputFlag(outputs: readonly OutputFormat[]): TextFlag {
  return {
    kind: "text",
    name: "output",
    short: "o",
    placeholder: outputs.join("|"),
    choices: outputs,
    help: `The output format. Default: ${outputs[0]}.`,
  };
}
