import type { OutputFormat } from "./command.ts";
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
  help: "The stored login to use. Also NEBULA_PROFILE.",
};
export const USERNAME: TextFlag = { kind: "text", name: "username", placeholder: "NAME", help: "Log in as this user. Also NEBULA_USER." };
export const PASSWORD_FILE: TextFlag = {
  kind: "text",
  name: "password-file",
  placeholder: "FILE",
  help: "A file that holds the password. Also NEBULA_PASSWORD_FILE; NEBULA_PASSWORD is the password itself.",
};
export const TOKEN_FILE: TextFlag = {
  kind: "text",
  name: "token-file",
  placeholder: "FILE",
  help: "A file that holds the token. Also NEBULA_TOKEN_FILE; NEBULA_TOKEN is the token itself.",
};

export const TLS_CA: TextFlag = {
  kind: "text",
  name: "tls-ca",
  placeholder: "FILE",
  help: "The authorities that the server's certificate has to be of, PEM. Also NEBULA_TLS_CA.",
};
export const TLS_CLIENT_CERT: TextFlag = {
  kind: "text",
  name: "tls-client-cert",
  placeholder: "FILE",
  help: "The certificate to show to a server that asks for one, PEM. Also NEBULA_TLS_CLIENT_CERT.",
};
export const TLS_CLIENT_KEY: TextFlag = {
  kind: "text",
  name: "tls-client-key",
  placeholder: "FILE",
  help: "The private key of --tls-client-cert, PEM. Also NEBULA_TLS_CLIENT_KEY.",
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

/** -o of one command. Its value is read from the command line's `output`. */
export function outputFlag(outputs: readonly OutputFormat[]): TextFlag {
  return {
    kind: "text",
    name: "output",
    short: "o",
    placeholder: outputs.join("|"),
    choices: outputs,
    help: `How to print. Default: ${outputs[0]}.`,
  };
}
